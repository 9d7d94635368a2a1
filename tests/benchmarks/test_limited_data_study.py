"""The limited-data study: what is compared with what, resuming, the table; one training of each task where data are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import benchmarks.limited_data.__main__ as command
from benchmarks.limited_data.judged import BEST
from benchmarks.limited_data.study import COUNTS, EVERYWHERE, METHODS, TASKS, Run, chosen, runs
from benchmarks.limited_data.table import table_of
from models.data.images import list_images
from models.errors import run_command


def write_images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(count)
    for k in range(count):
        cv2.imwrite(str(folder / f"{k:02}.png"), random.integers(0, 256, (80, 80, 3), dtype=np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for task in TASKS.values():
        for side in ("trainA", "trainB", "testA", "testB"):
            write_images(tmp_path / "data" / task.images / side, 44 if side.startswith("train") else 4)
    return tmp_path / "data"


def test_every_method_is_compared_with_none_on_the_same_images() -> None:
    wanted = runs()
    assert len(set(wanted)) == len(wanted) == len({run.name for run in wanted})
    for run in wanted:
        assert Run(run.task, run.count, "none", run.seed) in wanted
    smallest = [run for run in wanted if run.count == COUNTS[0]]
    assert len(smallest) == 3 * len(METHODS) * len(TASKS)
    assert {run.method for run in wanted if run.count != COUNTS[0]} == set(EVERYWHERE)
    assert [run.seed for run in wanted] == sorted(run.seed for run in wanted)


def test_a_seed_chooses_the_images_and_pairs_stay_pairs(root: Path, tmp_path: Path) -> None:
    def names(run: Run, side: str) -> list[str]:
        return [path.name for path in list_images(chosen(run, root, tmp_path) / side)]

    first, other = Run("paired", 10, "none", 0), Run("paired", 10, "ADA", 1)
    assert names(first, "trainA") == names(first, "trainB")
    assert len(names(first, "trainA")) == 10
    assert names(first, "trainA") == names(Run("paired", 10, "ADA", 0), "trainA")
    assert names(first, "trainA") != names(other, "trainA")
    unpaired = Run("unpaired", 10, "none", 0)
    assert names(unpaired, "trainA") != names(unpaired, "trainB")
    assert chosen(Run("paired", 0, "none", 0), root, tmp_path) == root / TASKS["paired"].images


def test_the_table_has_means_and_spreads() -> None:
    results = [
        {"task": "paired", "count": 10, "method": "none", "cpu_s": 2.0, "figures": dict.fromkeys(BEST["paired"], value)}
        for value in (0.1, 0.2, 0.3)
    ]  # fmt: skip
    source = {"lpips": 0.45, "ssim": 0.5, "psnr": 14.0}
    head, untouched, row = table_of("paired", 10, results, source)
    assert head[1] == "lpips (↓)"
    assert untouched == ["the source itself", "0.45", "0.5", "14", "–", "–"]  # it has no critic, and took no time
    assert row[:2] == ["none", "0.2 ± 0.1 (3)"]
    assert table_of("paired", 40, results, source) == [head, untouched]


@pytest.mark.parametrize("task", TASKS)
def test_a_training_is_judged_and_not_repeated(
    task: str, root: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(command, "runs", lambda: [Run(task, 10, "ADA", 0)])
    monkeypatch.setattr(command, "planned_kimg", lambda *_: dict.fromkeys(TASKS, 0.008))
    arguments = ["--data-root", str(root), "--out", str(tmp_path / "out"), "--weights", str(shared_data / "weights")]
    monkeypatch.setattr(sys, "argv", ["benchmarks.limited_data", *arguments])
    assert run_command(command.main) == 0
    facts: dict[str, Any] = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    (result,) = facts["results"]
    assert result["figures"].keys() == BEST[task].keys()
    assert all(np.isfinite(value) for value in result["figures"].values())
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert f"## {task} ({TASKS[task].images}), 10 images, 0.008 kimg" in page
    monkeypatch.setattr(command, "trained", lambda *_: pytest.fail("trained again"))
    assert run_command(command.main) == 0


def test_data_that_are_not_there_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data-root", str(tmp_path), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["benchmarks.limited_data", *arguments])
    assert run_command(command.main) == 2
    assert "--data-root names the folder that holds it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
