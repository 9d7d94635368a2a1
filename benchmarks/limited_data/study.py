"""What the limited-data study trains: a paired and an unpaired task, on few images and on all, with each method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.evidence.training import RECIPES, seconds_per_image
from models.config import parse_toml
from models.data.images import list_images
from models.recipe import Recipe, make_recipe

Settings = dict[str, object]


@dataclass(frozen=True)
class Task:
    """What is learned, at a size that trains in seconds."""

    recipe: str
    images: str  # folder of the real images
    share: float  # of the study's minutes
    settings: Settings


@dataclass(frozen=True)
class Method:
    """Settings laid over the task's, and what a step costs more than without them."""

    settings: Settings
    cost: float = 1.0


SMALL: Settings = {
    "size": 64, "load_size": 72, "generator": "compact", "critic_width": 16, "critic_field": 34, "ema": 0.99,
    "lr": 5e-4, "augment": "", "accelerator": "cpu", "save_every_kimg": 1e6, "grid_every_kimg": 1e6, "log_every": 100,
}  # fmt: skip
TASKS = {
    "paired": Task("pix2pix_compact", "xray_lowdose", 0.35, SMALL | {
        "channels": 1, "batch": 4, "width": 32, "blocks": 3}),
    "unpaired": Task("cut_compact", "cats_dogs", 0.65, SMALL | {
        "batch": 4, "width": 32, "blocks": 3, "deep_width": 48, "deep_blocks": 2, "nce_layers": [0, 2, 4],
        "patches": 64, "head_dim": 32, "skip": True}),
}  # fmt: skip
ADA: Settings = {"ada": "blit,geometry,color"}
METHODS = {
    "none": Method({}),
    "DiffAugment": Method({"augment": "color,translation,cutout"}, 1.1),
    "ADA": Method(ADA, 1.3),
    "APA": Method({"apa": True}, 1.1),
    "LeCam": Method({"lecam": 0.3}),
    "bCR": Method({"consistency": "bcr"}, 1.5),
}
COUNTS = (10, 40, 0)  # images of a domain; 0 = all
SEEDS = 3  # of the smallest count
EVERYWHERE = ("none", "DiffAugment", "ADA")  # the others at the smallest count only


@dataclass(frozen=True)
class Run:
    """One training."""

    task: str
    count: int
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.task}-{self.count or 'all'}-{self.method.lower()}-{self.seed}"

    def recipe(self, data: Path, kimg: float) -> Recipe:
        """What it is trained with; `data` holds trainA and trainB."""
        task = TASKS[self.task]
        values = parse_toml((RECIPES / f"{task.recipe}.toml").read_text(encoding="utf-8")) | task.settings
        values |= METHODS[self.method].settings | {"data": str(data), "seed": self.seed, "total_kimg": kimg}
        return make_recipe(values)


def runs() -> list[Run]:
    """All of the study, the first seed of everything first."""
    found = [
        Run(task, count, method, seed)
        for seed in range(SEEDS) for count in COUNTS for task in TASKS for method in METHODS
        if (seed == 0 or count == COUNTS[0]) and (count == COUNTS[0] or method in EVERYWHERE)
    ]  # fmt: skip
    return found


def chosen(run: Run, root: Path, out: Path) -> Path:
    """A folder of links to the images that a run may see: other ones with each seed, the same for every method."""
    source = root / TASKS[run.task].images
    if not run.count:
        return source
    folder = out / "data" / f"{run.task}-{run.count}-{run.seed}"
    for number, side in enumerate(("trainA", "trainB")):
        files = list_images(source / side)
        # Pairs have one order, unpaired domains one each.
        order = np.random.default_rng((run.seed, number if run.task == "unpaired" else 0)).permutation(len(files))
        (folder / side).mkdir(parents=True, exist_ok=True)
        for k in order[: run.count]:
            link = folder / side / files[k].name
            if not link.exists():
                link.symlink_to(files[k].resolve())
    return folder


def planned_kimg(root: Path, minutes: float) -> dict[str, float]:
    """How long each task's trainings are, for the whole study to take so many CPU minutes: all methods see as many
    images."""
    kimg = {}
    for name, task in TASKS.items():
        own = [run for run in runs() if run.task == name]
        cost = sum(METHODS[run.method].cost for run in own)
        recipe = Run(name, 0, "none", 0).recipe(root / task.images, 1.0)
        kimg[name] = round(minutes * 60 * task.share / (cost * seconds_per_image(recipe) * 1000), 2)
    return kimg
