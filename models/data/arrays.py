"""Images and labels that stand in one file: MNIST's idx, USPS's h5, SVHN's mat; folders serve as well.

A part of a file is named behind a `#`: `usps.h5#train`, or `t10k-images-idx3-ubyte.gz#0:8000` for 8000 images.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.data.images import ImageFolder, Pixels, list_images
from models.errors import DataError

Labels = NDArray[np.int64]


class Pictures(Protocol):
    """A sequence of images that are all at hand."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, index: int) -> Pixels:
        """(H, W, C) uint8 or uint16, RGB or gray."""


@dataclass(frozen=True)
class ArrayPictures:
    """Pictures of one array, as gray or as colour."""

    pixels: NDArray[np.uint8]  # (N, H, W) or (N, H, W, 3)
    channels: int

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Pixels:
        picture = self.pixels[index]
        if picture.ndim == 3 and self.channels == 1:
            picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        elif picture.ndim == 2 and self.channels == 3:
            return np.repeat(picture[:, :, None], 3, axis=2)
        cut: Pixels = picture.reshape(*picture.shape[:2], self.channels)
        return cut


def open_pictures(where: Path, channels: int, cache_mib: int) -> Pictures:
    """The images of a folder, or of (a part of) one file; raises DataError."""
    if _readers(where):
        return ArrayPictures(read_pixels(where), channels)
    return ImageFolder(list_images(where), channels, cache_mib)


def open_labelled(where: Path, names: tuple[str, ...], channels: int, cache_mib: int) -> tuple[Pictures, Labels]:
    """Images and the index of each one's class in `names`, from class folders or from one file.

    Without `names` all images are of class 0.

    Raises:
        DataError: no labels, a class folder that is missing, or a label that no name stands for.
    """
    if not names:
        pictures = open_pictures(where, channels, cache_mib)
        return pictures, np.zeros(len(pictures), np.int64)
    if not _readers(where):
        return _class_folders(where, names, channels, cache_mib)
    pixels, labels = read_pixels(where), read_labels(where)
    if len(labels) != len(pixels):
        raise DataError(f"{where} has {len(pixels)} images and {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(f"{where} has labels {labels.min()} to {labels.max()}, but {len(names)} domains are named")
    return ArrayPictures(pixels, channels), labels


def read_pixels(where: Path) -> NDArray[np.uint8]:
    """Images of a file, or of the part of it behind `#`: (N, H, W), or (N, H, W, 3) RGB. Labels are not touched.

    Raises:
        DataError: no such file or part, or a damaged one.
    """
    pixels: NDArray[np.uint8] = _read(where, 0)
    if not len(pixels):
        raise DataError(f"{where} holds no image")
    return pixels


def read_labels(where: Path) -> Labels:
    """The class of each of these images, (N); raises DataError as `read_pixels`, or where there are none."""
    labels: Labels = _read(where, 1)
    return labels


def _read(where: Path, which: int) -> NDArray[Any]:
    name, _, part = str(where).partition("#")
    readers = _readers(where)
    if readers is None:
        raise DataError(f"{name} is no array file; there are {', '.join(READERS)}")
    if not Path(name).is_file():
        raise DataError(f"there is no file {name}")
    try:
        return readers[which](Path(name), part)
    except (OSError, EOFError, KeyError, IndexError, ValueError, struct.error, zlib.error) as error:
        raise DataError(f"{where} cannot be read ({error}): copy it again, or name another part") from error


def _idx_pixels(path: Path, part: str) -> NDArray[Any]:
    """MNIST: images-idx3-ubyte[.gz] …"""
    return _idx_array(path)[_slice(part)]


def _idx_labels(path: Path, part: str) -> NDArray[Any]:
    """… and labels-idx1-ubyte of the same name beside it."""
    beside = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    if beside == path or not beside.is_file():
        raise DataError(f"{path} has no labels beside it ({beside.name})")
    return _idx_array(beside)[_slice(part)].astype(np.int64)


def _idx_array(path: Path) -> NDArray[np.uint8]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    zero, kind, axes = struct.unpack_from(">HBB", content)
    if zero or kind != 8:
        raise ValueError("not an idx file of bytes")
    shape = struct.unpack_from(f">{axes}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _h5_pixels(path: Path, part: str) -> NDArray[Any]:
    """USPS: groups train and test of `data` (N, 256) in 0…1 …"""
    with _library("h5py").File(path, "r") as file:
        data = np.asarray(file[part or "train"]["data"], np.float32)
    side = round(data[0].size ** 0.5)
    pixels: NDArray[np.uint8] = np.rint(data.clip(0, 1) * 255).astype(np.uint8).reshape(-1, side, side)
    return pixels


def _h5_labels(path: Path, part: str) -> NDArray[Any]:
    """… and `target` (N)."""
    with _library("h5py").File(path, "r") as file:
        return np.asarray(file[part or "train"]["target"], np.int64)


def _mat_pixels(path: Path, part: str) -> NDArray[Any]:
    """SVHN: X (32, 32, 3, N) …"""
    stored = _library("scipy.io").loadmat(path, variable_names=("X",))["X"]
    pixels: NDArray[np.uint8] = np.asarray(stored, np.uint8).transpose(3, 0, 1, 2)[_slice(part)]
    return pixels.copy()


def _mat_labels(path: Path, part: str) -> NDArray[Any]:
    """… and y (N, 1), where 10 means the digit 0."""
    stored = _library("scipy.io").loadmat(path, variable_names=("y",))["y"]
    labels: Labels = np.asarray(stored, np.int64).ravel()[_slice(part)] % 10
    return labels


def _library(name: str) -> Any:
    """A library that only one kind of file needs."""
    try:
        return import_module(name)
    except ImportError as error:
        raise DataError(f"this kind of file needs {name}: pip install {name.partition('.')[0]}") from error


Read = Callable[[Path, str], NDArray[Any]]
READERS: dict[str, tuple[Read, Read]] = {
    "idx3-ubyte": (_idx_pixels, _idx_labels),
    "idx3-ubyte.gz": (_idx_pixels, _idx_labels),
    ".h5": (_h5_pixels, _h5_labels),
    ".mat": (_mat_pixels, _mat_labels),
}


def _readers(where: Path) -> tuple[Read, Read] | None:
    name = str(where).partition("#")[0]
    return next((read for suffix, read in READERS.items() if name.endswith(suffix)), None)


def _slice(part: str) -> slice:
    """`first:last` as of a Python sequence; empty = all."""
    if not part:
        return slice(None)
    first, colon, last = part.partition(":")
    if not colon:
        raise ValueError(f"a part is FIRST:LAST, not {part!r}")
    return slice(int(first or 0), int(last) if last else None)


class _Joined:
    """Several folders as one sequence."""

    def __init__(self, folders: list[ImageFolder]) -> None:
        self.places = [(folder, index) for folder in folders for index in range(len(folder))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Pixels:
        folder, position = self.places[index]
        return folder[position]


def _class_folders(where: Path, names: tuple[str, ...], channels: int, cache_mib: int) -> tuple[Pictures, Labels]:
    found = sorted(path.name for path in where.iterdir() if path.is_dir()) if where.is_dir() else []
    if missing := [name for name in names if name not in found]:
        there = ", ".join(found) or "none"
        raise DataError(f"{where} has no folder of the class {missing[0]!r}; set domains to its folders: {there}")
    folders = [ImageFolder(list_images(where / name), channels, cache_mib // len(names)) for name in names]
    labels = np.repeat(np.arange(len(names)), [len(folder) for folder in folders])
    return _Joined(folders), labels.astype(np.int64)
