"""Reading training images: 8- or 16-bit, gray or colour, PNG/JPEG/TIFF/BMP; broken files are named and left out."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from models.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
Pixels = NDArray[Any]  # (H, W, C) uint8 or uint16, RGB or gray


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder, sorted; raises DataError when the folder is missing or holds none."""
    if not folder.is_dir():
        raise DataError(f"there is no image folder {folder}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{folder} holds no image ({', '.join(SUFFIXES)})")
    return files


def read_pixels(path: Path, channels: int) -> Pixels | None:
    """(H, W, channels) RGB or gray, uint8 or uint16 as stored; None when the file cannot be decoded."""
    pixels = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | (cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE))
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        return None
    return pixels[:, :, ::-1] if channels == 3 else pixels[:, :, None]


def to_tensor(pixels: Pixels) -> Tensor:
    """(H, W, C) of its type's full range → (C, H, W) float in [-1, 1]."""
    scale = 2.0 / np.iinfo(pixels.dtype).max
    planar = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(planar * scale - 1.0)


def shrunk(pixels: Pixels, longest: int) -> Pixels:
    """The whole image, resized so that its longer side is `longest` px where it is more; (H, W, C)."""
    height, width = pixels.shape[:2]
    share = longest / max(height, width)
    if share >= 1:
        return pixels
    size = (max(1, round(width * share)), max(1, round(height * share)))
    resized = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return resized.reshape(size[1], size[0], -1)


@dataclass(frozen=True)
class Crop:
    """What was drawn for one sample: positions in 0…1."""

    top: float
    left: float
    mirror: bool
    zoom: tuple[float, ...] = ()  # four numbers in 0…1, or none


@dataclass(frozen=True)
class View:
    """How a stored image becomes a training sample."""

    size: int  # square crop
    load_size: int  # the shorter side is resized to this first; 0 = not
    flip: bool
    zoom: float = 0.0  # probability of a random part of the image, before anything else

    def draw(self, random: np.random.Generator) -> Crop:
        """A crop's relative position and whether it is mirrored, to be shared by the images of a pair."""
        top, left, mirror = random.random(), random.random(), self.flip and random.random() < 0.5
        zooms = self.zoom > 0 and random.random() < self.zoom
        return Crop(top, left, mirror, tuple(random.random(4).tolist()) if zooms else ())

    def take(self, pixels: Pixels, drawn: Crop) -> Pixels:
        """Zoom, resize, crop at the drawn position, mirror; (size, size, C)."""
        pixels = self._resize(_zoomed(pixels, drawn.zoom) if drawn.zoom else pixels)
        top, left = self._corner(pixels.shape, drawn)
        crop = pixels[top : top + self.size, left : left + self.size]
        return crop[:, ::-1] if drawn.mirror else crop

    def place(self, boxes: NDArray[np.float64], shape: tuple[int, ...], drawn: Crop) -> NDArray[np.float64]:
        """(n, 4) boxes x1 y1 x2 y2 of an image of this shape → where `take` shows them; they may reach outside."""
        corners, (height, width) = boxes.reshape(-1, 2, 2), shape[:2]
        if drawn.zoom:
            top, left, part_h, part_w = _part(shape, drawn.zoom)
            corners = (corners - (left, top)) * (width / part_w, height / part_h)
        tall, wide = self._resized(shape)
        top, left = self._corner((tall, wide), drawn)
        corners = corners * (wide / width, tall / height) - (left, top)
        if drawn.mirror:
            corners = np.stack([self.size - corners[:, ::-1, 0], corners[:, :, 1]], axis=2)
        return corners.reshape(-1, 4)

    def _corner(self, shape: tuple[int, ...], drawn: Crop) -> tuple[int, int]:
        return round(drawn.top * (shape[0] - self.size)), round(drawn.left * (shape[1] - self.size))

    def _resized(self, shape: tuple[int, ...]) -> tuple[int, int]:
        shorter = min(shape[:2])
        wanted = max(self.load_size or shorter, self.size)
        height, width = (max(wanted, round(side * wanted / shorter)) for side in shape[:2])
        return height, width

    def _resize(self, pixels: Pixels) -> Pixels:
        height, width = self._resized(pixels.shape)
        if (height, width) == pixels.shape[:2]:
            return pixels
        way = cv2.INTER_AREA if height < pixels.shape[0] else cv2.INTER_CUBIC
        resized = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=way)
        return resized.reshape(height, width, -1)


def _zoomed(pixels: Pixels, drawn: tuple[float, ...]) -> Pixels:
    """The drawn part, stretched to the whole."""
    height, width = pixels.shape[:2]
    top, left, part_h, part_w = _part(pixels.shape, drawn)
    part = np.ascontiguousarray(pixels[top : top + part_h, left : left + part_w])
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)


def _part(shape: tuple[int, ...], drawn: tuple[float, ...]) -> tuple[int, int, int, int]:
    """Top, left, height and width of a part of 0.8 to 1 of the area, of 0.9 to 1.1 times the sides' ratio (StarGAN
    v2)."""
    height, width = shape[:2]
    share, stretch = math.sqrt(0.8 + 0.2 * drawn[0]), math.sqrt(0.9 + 0.2 * drawn[1])
    part_h, part_w = min(height, round(height * share / stretch)), min(width, round(width * share * stretch))
    return round(drawn[2] * (height - part_h)), round(drawn[3] * (width - part_w)), part_h, part_w


class ImageFolder:
    """The decodable images of one folder; decoded once, kept in memory up to `cache_mib`."""

    def __init__(self, files: Sequence[Path], channels: int, cache_mib: int = 1024) -> None:
        self.channels = channels
        self.broken: list[Path] = []
        self.files: list[Path] = []
        self.shapes: dict[Path, tuple[int, ...]] = {}  # (H, W, C) as read
        self._cache: dict[Path, Pixels] = {}
        self._room = cache_mib << 20
        for path in tqdm(files, desc=f"reading {files[0].parent}", unit="image", leave=False, disable=len(files) < 50):
            self._admit(path)
        if self.broken:
            names = ", ".join(str(path) for path in self.broken[:5]) + (" …" if len(self.broken) > 5 else "")
            print(f"warning: {len(self.broken)} of {len(files)} images cannot be read: {names}", file=sys.stderr)
        if not self.files:
            raise DataError(f"none of the {len(files)} images in {files[0].parent} can be read")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Pixels:
        path = self.files[index]
        pixels = self._cache.get(path)
        if pixels is None:
            pixels = read_pixels(path, self.channels)
        if pixels is None:
            raise DataError(f"{path} was readable when training began and is not any more")
        return pixels

    def _admit(self, path: Path) -> None:
        pixels = read_pixels(path, self.channels)
        if pixels is None:
            self.broken.append(path)
            return
        self.files.append(path)
        self.shapes[path] = pixels.shape
        if pixels.nbytes <= self._room:
            self._cache[path] = pixels
            self._room -= pixels.nbytes
