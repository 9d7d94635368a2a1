"""`python -m benchmarks.digits` on digits that anyone could read: each class is a bright square at its own place."""

from __future__ import annotations

import gzip
import json
import struct
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks import digits
from benchmarks.digits_report import accuracy_table
from models.errors import run_command


def squares(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, side, side) of 0 and 1, and their classes."""
    classes, cell = np.arange(count) % 10, side // 4
    pictures = np.zeros((count, side, side), np.float32)
    for picture, k in zip(pictures, classes, strict=True):
        top, left = divmod(int(k), 4)
        picture[top * cell : (top + 1) * cell, left * cell : (left + 1) * cell] = 1
    return pictures, classes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """MNIST's and USPS's files, smaller and easier."""
    folder = tmp_path / "digits"
    folder.mkdir()
    pictures, classes = squares(10_000, 28)
    for name, array in (("images-idx3", pictures * 255), ("labels-idx1", classes)):
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / f"t10k-{name}-ubyte.gz").write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), 1))
    with h5py.File(folder / "usps.h5", "w") as file:
        for part in ("train", "test"):
            pictures, classes = squares(100, 16)
            file[f"{part}/data"], file[f"{part}/target"] = pictures.reshape(100, -1), classes
    return folder


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks.digits", *map(str, arguments)])
    return run_command(digits.main)


def test_the_table_is_trained_written_and_not_trained_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = replace(digits.METHODS["source only"], settings=("batch=16", "shrink=2", "lr=0.03", "total_kimg=4.8"))
    monkeypatch.setitem(digits.METHODS, "source only", quick)
    arguments = ("--data", data, "--out", tmp_path / "out", "--seeds", 2, "--only", "source only",
                 "--way", "MNIST → USPS")  # fmt: skip
    assert command(monkeypatch, *arguments) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'report.html'}\n"
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [result["seed"] for result in facts["results"]] == [0, 1]
    assert all(result["accuracy"] > 0.5 for result in facts["results"])
    assert str(tmp_path) not in (tmp_path / "out" / "report.md").read_text()
    kept = tmp_path / "out" / "runs" / "source_only-mnist-usps-1" / "result.json"
    kept.write_text(json.dumps(facts["results"][1] | {"accuracy": 0.125}))
    assert command(monkeypatch, *arguments) == 0
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert facts["results"][1]["accuracy"] == 0.125


def test_the_target_is_tested_on_images_that_nobody_learned_from() -> None:
    for way in digits.WAYS.values():
        assert way.test not in (way.source, way.target)
    ways = digits.WAYS["USPS → MNIST"], digits.WAYS["MNIST → USPS"]
    assert ways[0].test.endswith("#8000:10000")
    assert ways[0].target.endswith("#0:8000")
    assert ways[1].test.endswith("#test")
    assert ways[1].target.endswith("#train")
    order = digits.runs(["A", "B"], ["x"], 2)
    assert [(run.method, run.seed) for run in order] == [("A", 0), ("B", 0), ("A", 1), ("B", 1)]


def test_a_cell_is_mean_and_deviation_beside_the_published_figure() -> None:
    results = [
        {"method": "UNIT", "way": "x", "seed": k, "accuracy": a, "kimg": 32.0, "batch": 16, "cpu_s": 10.0}
        for k, a in enumerate((0.5, 0.7))
    ]
    table = accuracy_table({"results": results, "published": {"UNIT": {"x": 0.9597}}})
    assert table[1] == ["UNIT", "0.6000 ± 0.1414 (2)", "0.9597", "32", "10"]


def test_what_is_missing_is_told(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert command(monkeypatch, "--data", data, "--out", tmp_path / "out", "--seeds", 0) == 2
    (data / "usps.h5").unlink()
    assert command(monkeypatch, "--data", data, "--out", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert "--seeds is 1 or more, not 0" in told
    assert f"there is no file {data / 'usps.h5'}; --data names a folder of" in told
    assert not (tmp_path / "out").exists()
