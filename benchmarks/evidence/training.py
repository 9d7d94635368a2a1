"""A training that fits a budget of CPU minutes, with the public training code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models.checkpoint import load_system
from models.config import parse_toml
from models.recipe import Recipe, make_recipe
from models.train import train
from models.trainer import Trainer

RECIPES = Path(__file__).parents[2] / "models" / "recipes"
WARM_UP, PLACES, ROW = 2, 4, 6  # steps, and places in a run with so many steps in a row
QUIET = {"accelerator": "cpu", "save_every_kimg": 1e6, "grid_every_kimg": 1e6}


def planned(recipe: str, settings: dict[str, object], folder: Path, minutes: float) -> Recipe:
    """The recipe of a run in `folder`: the one that it already holds, else as many kimg as `minutes` of CPU time pay.

    Settings that are a share of the run's length (`diversity_kimg`, `halve_kimg`) scale with it.
    """
    if (folder / "recipe.toml").is_file():
        return make_recipe(parse_toml((folder / "recipe.toml").read_text(encoding="utf-8")))
    values = parse_toml((RECIPES / f"{recipe}.toml").read_text(encoding="utf-8")) | settings | QUIET
    kimg = minutes * 60 / seconds_per_image(make_recipe(values)) / 1000
    for name in ("diversity_kimg", "halve_kimg"):
        if name in values:
            values[name] = round(float(values[name]) * kimg / float(values["total_kimg"]), 3)
    return make_recipe(values | {"total_kimg": round(kimg, 2)})


def seconds_per_image(recipe: Recipe) -> float:
    """CPU seconds, so that what else runs on the machine does not count.

    Phases that begin later are met at one of the places, and those of every n-th step within the steps in a row.
    """
    timed = PLACES * ROW
    with TemporaryDirectory() as folder:
        trainer = Trainer(recipe, Path(folder))
        batches = islice(trainer.batches(), WARM_UP + timed)
        begun = 0.0
        for k, batch in enumerate(batches):
            if k == WARM_UP:
                begun = time.process_time()
            if k >= WARM_UP:
                place, further = divmod(k - WARM_UP, ROW)
                trainer.step = round(trainer.total_steps * (place + 0.5) / PLACES) + further
            trainer.train_step(batch)
    return (time.process_time() - begun) / (timed * recipe.train.batch)


def trained(recipe: Recipe, folder: Path) -> None:
    """Train, or go on, until the recipe's end; the CPU minutes are added up in cpu_minutes.txt."""
    if finished(recipe, folder):
        return
    before, begun = minutes_spent(folder), time.process_time()
    train(recipe, folder)
    spent = before + (time.process_time() - begun) / 60
    (folder / "cpu_minutes.txt").write_text(f"{spent:.2f}\n", encoding="utf-8")


def finished(recipe: Recipe, folder: Path) -> bool:
    """Whether the run's checkpoint is that of its last step."""
    path, cfg = folder / "checkpoint.safetensors", recipe.train
    return path.is_file() and round(load_system(path)[1].kimg * 1000 / cfg.batch) >= cfg.steps


def minutes_spent(folder: Path) -> float:
    """CPU minutes that a run has taken until now."""
    path = folder / "cpu_minutes.txt"
    return float(path.read_text(encoding="utf-8")) if path.is_file() else 0.0


def loss_at_ends(folder: Path, names: Sequence[str]) -> tuple[float, float]:
    """The sum of a run's losses as logged: its mean over the first tenth of the steps that have it, and over the last.

    `names` are tags of the log, such as "G/instance".
    """
    log = EventAccumulator(str(folder), {"scalars": 0})
    log.Reload()
    values = [sum(entries) for entries in zip(*([e.value for e in log.Scalars(name)] for name in names), strict=True)]
    tenth = max(len(values) // 10, 1)
    return fmean(values[:tenth]), fmean(values[-tenth:])
