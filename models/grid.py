"""Sample grids: named rows of images, as one picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

MARGIN = 110  # px for the row's name
GAP = 2  # px between images


def to_pixels(images: Tensor) -> NDArray[Any]:
    """(N, C, H, W) in [-1, 1] → (N, H, W, 3) uint8 RGB."""
    pixels = ((images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return pixels if pixels.shape[3] == 3 else np.repeat(pixels, 3, axis=3)


def draw_grid(rows: Mapping[str, Tensor]) -> NDArray[Any]:
    """One row of images per entry with its name at the left; (H, W, 3) uint8 RGB on white."""
    return np.concatenate([_row(name, to_pixels(images)) for name, images in rows.items()])


def write_grid(path: Path, rows: Mapping[str, Tensor]) -> NDArray[Any]:
    """Draw a grid and save it as PNG; returns the picture."""
    picture = draw_grid(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[:, :, ::-1])
    return picture


def _row(name: str, pixels: NDArray[Any]) -> NDArray[Any]:
    label = np.full((pixels.shape[1] + GAP, MARGIN, 3), 255, np.uint8)
    plain = name.replace("→", "->")  # the built-in font is ASCII
    cv2.putText(label, plain, (6, label.shape[0] // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    framed = np.pad(pixels, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    return np.concatenate([label, *framed], axis=1)
