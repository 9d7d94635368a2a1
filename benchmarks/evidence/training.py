"""A training that fits a budget of CPU minutes, with the public training code."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from models.checkpoint import load_system
from models.config import parse_toml
from models.recipe import Recipe, make_recipe
from models.train import train
from models.trainer import Trainer

RECIPES = Path(__file__).parents[2] / "models" / "recipes"
WARM_UP, TIMED = 2, 12  # steps
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
    """CPU seconds, so that what else runs on the machine does not count; the steps are spread over the whole run."""
    with TemporaryDirectory() as folder:
        trainer = Trainer(recipe, Path(folder))
        batches = islice(trainer.batches(), WARM_UP + TIMED)
        begun = 0.0
        for k, batch in enumerate(batches):
            if k == WARM_UP:
                begun = time.process_time()
            if k >= WARM_UP:  # phases that begin later, or run at every n-th step, must be among the timed ones
                trainer.step = round(trainer.total_steps * (k - WARM_UP) / TIMED) + (k - WARM_UP)
            trainer.train_step(batch)
    return (time.process_time() - begun) / (TIMED * recipe.train.batch)


def trained(recipe: Recipe, folder: Path) -> None:
    """Train, or go on, until the recipe's end; the CPU minutes are added up in cpu_minutes.txt."""
    if finished(recipe, folder):
        return
    before, begun = minutes_spent(folder), time.process_time()
    train(recipe, folder)
    spent = before + (time.process_time() - begun) / 60
    (folder / "cpu_minutes.txt").write_text(f"{spent:.2f}\n", encoding="utf-8")


def finished(recipe: Recipe, folder: Path) -> bool:
    """Whether the run's checkpoint is that of its end."""
    path = folder / "checkpoint.safetensors"
    return path.is_file() and load_system(path)[1].kimg >= recipe.train.total_kimg * 0.999


def minutes_spent(folder: Path) -> float:
    """CPU minutes that a run has taken until now."""
    path = folder / "cpu_minutes.txt"
    return float(path.read_text(encoding="utf-8")) if path.is_file() else 0.0
