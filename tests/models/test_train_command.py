"""`python -m models.train` on every form of data that the papers' users have, and what it refuses before it starts."""

from __future__ import annotations

import gzip
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from models.checkpoint import load_system
from models.errors import run_command
from models.train import main

Run = Callable[..., int]
DIGITS = [str(k) for k in range(10)]


@pytest.fixture
def run(
    recipe_values: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """System name and further settings → the command's exit code; the run's folder is tmp_path/run."""

    def command(name: str, **further: Any) -> int:
        values = recipe_values(name, augment="", total_kimg=0.004, grid_images=1) | further
        arguments = [f"--set={key}={json.dumps(value)}" for key, value in values.items()]
        monkeypatch.setattr(sys, "argv", ["models.train", *arguments, "--out", str(tmp_path / "run")])
        return run_command(main)

    return command


def write_images(folder: Path, count: int, shape: tuple[int, ...], first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(first)
    for k in range(first, first + count):
        cv2.imwrite(str(folder / f"{k}.png"), random.integers(0, 256, shape, dtype=np.uint8))
    return folder


def write_digits(folder: Path) -> dict[str, str]:
    """Twenty random digits in the three formats of the papers' sets, by the name of the set."""
    random = np.random.default_rng(0)
    for stem, array in (("images-idx3", random.integers(0, 256, (20, 28, 28))), ("labels-idx1", np.arange(20) % 10)):
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / f"train-{stem}-ubyte.gz").write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))
    with h5py.File(folder / "usps.h5", "w") as file:
        file["train/data"], file["train/target"] = random.random((20, 256), np.float32), np.arange(20) % 10
    pixels = random.integers(0, 256, (32, 32, 3, 20), dtype=np.uint8)
    scipy.io.savemat(folder / "train_32x32.mat", {"X": pixels, "y": np.arange(1, 21)[:, None] % 10 + 1})
    names = {"mnist": "train-images-idx3-ubyte.gz", "usps": "usps.h5#train", "svhn": "train_32x32.mat"}
    return {name: str(folder / file) for name, file in names.items()}


def test_pairs_side_by_side_train(run: Run, tmp_path: Path) -> None:
    write_images(tmp_path / "maps" / "train", 2, (128, 256, 3))
    assert run("pix2pix", data=str(tmp_path / "maps"), side_by_side="BA") == 0
    assert load_system(tmp_path / "run" / "checkpoint.safetensors")[1].system == "pix2pix"


def test_two_folders_train(run: Run, tmp_path: Path) -> None:
    for side in "AB":
        write_images(tmp_path / "horses" / f"train{side}", 2, (40, 40, 3))
    assert run("cyclegan", data=str(tmp_path / "horses")) == 0


def test_a_folder_of_high_resolution_images_trains(run: Run, tmp_path: Path) -> None:
    assert run("srgan", data=str(write_images(tmp_path / "div2k", 2, (48, 64, 3)))) == 0


def test_one_domain_of_an_array_file_trains(run: Run, tmp_path: Path) -> None:
    assert run("gan", data=write_digits(tmp_path)["mnist"], channels=1) == 0


@pytest.mark.parametrize(("source", "target", "channels"), [("mnist", "usps", 1), ("svhn", "mnist", 3)])
def test_digits_of_two_sets_train(source: str, target: str, channels: int, run: Run, tmp_path: Path) -> None:
    digits = write_digits(tmp_path)
    files = {"data_a": digits[source], "data_b": digits[target]}
    assert run("dann", data="", **files, channels=channels, domains=DIGITS) == 0


def test_segmentation_labels_beside_images_train(run: Run, tmp_path: Path) -> None:
    a = write_images(tmp_path / "clear", 2, (40, 40, 3))
    write_images(tmp_path / "rain", 2, (40, 40, 3))
    (tmp_path / "clear_labels").mkdir()
    for path in a.iterdir():
        cv2.imwrite(str(tmp_path / "clear_labels" / path.name), np.arange(1600, dtype=np.uint8).reshape(40, 40) % 3)
    files = {"data_a": str(a), "data_b": str(tmp_path / "rain")}
    assert run("domain_bridge", data="", **files, domains=["road", "car", "sky"]) == 0


def no_pairs(folder: Path) -> dict[str, Any]:
    write_images(folder / "trainA", 2, (128, 128, 3))
    write_images(folder / "trainB", 2, (128, 128, 3), first=7)
    return {"data": str(folder)}


def pairs_of_two_sizes(folder: Path) -> dict[str, Any]:
    write_images(folder / "trainA", 2, (128, 128, 3))
    write_images(folder / "trainB", 1, (128, 128, 3))
    write_images(folder / "trainB", 1, (128, 140, 3), first=1)
    return {"data": str(folder)}


def one_domain(folder: Path) -> dict[str, Any]:
    write_images(folder / "trainA", 2, (40, 40, 3))
    return {"data": str(folder)}


def odd_halves(folder: Path) -> dict[str, Any]:
    return {"data": str(write_images(folder, 2, (128, 255, 3))), "side_by_side": "AB"}


def small_pictures(folder: Path) -> dict[str, Any]:
    return {"data": str(write_images(folder, 2, (30, 64, 3)))}


def unlabelled(folder: Path) -> dict[str, Any]:
    a, b = (write_images(folder / side, 2, (40, 40, 3)) for side in ("clear", "rain"))
    return {"data": "", "data_a": str(a), "data_b": str(b)}


REFUSED = [
    ("pix2pix", no_pairs, "no image in {}/trainA has a pair of the same name in {}/trainB"),
    ("pix2pix", pairs_of_two_sizes, "{}/trainA/1.png is 128×128, its pair {}/trainB/1.png is 140×128: pairs must be "
     "registered"),
    ("cyclegan", one_domain, "there is no image folder {}/trainB"),
    ("pix2pix", odd_halves, "{}/0.png is 255×128: an odd width has no two halves"),
    ("srgan", small_pictures, "{}/0.png is 64×30, smaller than the crops of size = 32: take it out, for an enlarged "
     "image teaches nothing"),
    ("pix2pix", lambda _: {"generator": "unet256", "size": 300}, "size = 300 does not suit pix2pix: height and width "
     "must be multiples of 256"),
    ("domain_bridge", unlabelled, "there are no segmentation labels of {}/clear: give them as clear_labels/NAME.png, "
     "the class of each pixel, or for two classes as clear_mask/NAME.png"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "sentence"), REFUSED, ids=[case[1].__name__ for case in REFUSED])
def test_data_that_a_system_cannot_take_are_refused_before_training(
    name: str, given: Callable[[Path], dict[str, Any]], sentence: str, run: Run, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tmp_path / "photos"
    assert run(name, **given(folder)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == f"error: {sentence.replace('{}', str(folder))}"
    assert not any("training" in line for line in lines)
    assert not (tmp_path / "run").exists()


def test_colour_is_refused_where_gray_was_trained(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in "AB":
        write_images(tmp_path / "scans" / f"train{side}", 2, (40, 40))
    assert run("cyclegan", data=str(tmp_path / "scans"), channels=1) == 0
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    capsys.readouterr()
    assert run("cyclegan", data=str(tmp_path / "scans"), channels=3) == 2
    told = capsys.readouterr().err
    assert told.endswith("holds a run with channels = 1, not 3: give another --out, or the same settings to go on\n")
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == before
