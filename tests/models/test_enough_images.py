"""Too few images: a warning below 50, a refusal below 8, and the setting for systems that learn from one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from models.errors import run_command
from models.recipe import read_recipe
from models.train import main

RECIPES = Path(__file__).resolve().parents[2] / "models" / "recipes"


def folders(root: Path, counts: tuple[int, int]) -> str:
    random = np.random.default_rng(0)
    for side, count in zip("AB", counts, strict=True):
        (root / f"train{side}").mkdir(parents=True)
        for k in range(count):
            cv2.imwrite(str(root / f"train{side}" / f"{k}.png"), random.integers(0, 256, (34, 34, 3), dtype=np.uint8))
    return str(root)


@pytest.fixture
def run(
    recipe_values: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    def command(counts: tuple[int, int], **further: Any) -> int:
        values = recipe_values("cut", augment="", total_kimg=0.002, grid_images=1) | {"least_images": 8} | further
        values["data"] = folders(tmp_path / "photos", counts)
        arguments = [f"--set={key}={json.dumps(value)}" for key, value in values.items()]
        monkeypatch.setattr(sys, "argv", ["models.train", *arguments, "--out", str(tmp_path / "run")])
        return run_command(main)

    return command


def test_seven_images_of_one_domain_are_refused_before_anything_is_written(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run((60, 7)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: 7 images of a domain are too few to learn it from; give at least 8, or set least_images=7 if you mean "
        "it"
    )
    assert not (tmp_path / "run").exists()


def test_eight_to_forty_nine_are_warned_of(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run((49, 60)) == 0
    assert "warning: with 49 images of a domain the networks will memorise them" in capsys.readouterr().err


def test_fifty_pass_in_silence(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run((50, 50)) == 0
    assert "warning" not in capsys.readouterr().err


def test_who_means_it_may_train_on_one(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run((1, 1), least_images=1) == 0
    assert "warning: with 1 image" in capsys.readouterr().err


def test_recipes_of_systems_that_learn_from_one_image_are_not_refused() -> None:
    for name in ("sincut", "sincut_compact"):
        assert read_recipe(RECIPES / f"{name}.toml").data.least_images == 1
