"""Tiny runs of every system, and image folders for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models.data.datasets import DataConfig, open_dataset, stack
from models.recipe import make_recipe
from models.registry import system_class
from models.system import Batch, System
from models.trainer import Trainer


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks lose more by threads that wait for each other than they gain, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of 130×140 pictures for every kind of data set; A and B are registered, B is A's negative."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for k in range(5):
        coarse = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (140, 130), interpolation=cv2.INTER_CUBIC)
        versions = {"trainA": picture, "trainB": 255 - picture, "train": picture}
        for side in ("train", "trainA"):
            versions |= {f"{side}/dark": picture // 2, f"{side}/light": 127 + picture // 2}
        spots = np.zeros_like(picture)
        spots[10:60, 20:50], spots[80:110, 70:130] = 255, 255
        versions |= {"trainA_mask": spots, "trainB_mask": spots[::-1]}
        for side in ("trainA", "trainB"):  # a box in every crop of 32 px
            (root / f"{side}_boxes").mkdir(exist_ok=True)
            boxes = [f"{x} {y} {x + 14} {y + 14} spot" for x in range(0, 120, 18) for y in range(0, 110, 18)]
            (root / f"{side}_boxes" / f"{k}.txt").write_text("\n".join(boxes), encoding="utf-8")
        for folder, version in versions.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / folder / f"{k}.png"), version)
    return root


@pytest.fixture
def recipe_values(images: Path, small: Callable[[str], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """System name and further settings → the flat table of a tiny recipe of four steps on the CPU."""

    def values(name: str, **further: Any) -> dict[str, Any]:
        own = small(name)
        size = own.get("size", 32)
        train = {
            "system": name, "data": str(images), "size": size, "load_size": 0, "batch": 2, "total_kimg": 0.008,
            "accelerator": "cpu", "grid_images": 2, "augment": "color,translation,cutout", "least_images": 1,
        }  # fmt: skip
        if system_class(name).data == "two_images":
            train |= {f"data_{side.lower()}": str(images / f"train{side}" / "0.png") for side in "AB"}
        return train | own | further

    return values


@pytest.fixture
def tiny_trainer(recipe_values: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., Trainer]:
    """System name, run folder's name and further settings → a trainer."""

    def trainer(name: str, run: str = "run", **further: Any) -> Trainer:
        return Trainer(make_recipe(recipe_values(name, **further)), tmp_path / run)

    return trainer


@pytest.fixture
def tiny_system(recipe_values: Callable[..., dict[str, Any]]) -> Callable[..., tuple[System, Batch]]:
    """System name and further settings → the prepared system, its weights seeded, and a batch of its data."""

    def build(name: str, batch: int = 2, **further: Any) -> tuple[System, Batch]:
        recipe = make_recipe(recipe_values(name, **further))
        data: DataConfig = recipe.data
        dataset = open_dataset(system_class(name).data, data, 0)
        samples = stack([dataset.sample(k) for k in range(batch)])
        torch.manual_seed(0)
        system = system_class(name)(recipe.system)
        system.prepare(samples)
        return system, samples

    return build
