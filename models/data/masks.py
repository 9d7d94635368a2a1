"""Instance masks beside a folder of images: of images/7.png, images_mask/7.png or images_mask/7_0.png, 7_1.png, …

A file may hold one instance or several that do not touch: it is taken apart into its connected parts.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.images import Crop, View, list_images, read_pixels
from models.errors import DataError

SMALLEST = 4  # pixels of a part that counts
Masks = list[NDArray[np.uint8]]  # (H, W, 1), 0 or 255


class MaskFolder:
    """The masks of the images of a folder."""

    def __init__(self, images: Path) -> None:
        self.folder = images.with_name(images.name + "_mask")
        if not self.folder.is_dir():
            raise DataError(f"there is no folder of masks {self.folder} beside {images}")
        self.files: dict[str, list[Path]] = {}
        for path in list_images(self.folder):
            self.files.setdefault(re.sub(r"_\d+$", "", path.stem), []).append(path)
            if re.search(r"_\d+$", path.stem):  # the image itself may be called 7_0.png
                self.files.setdefault(path.stem, []).append(path)

    def of(self, image: Path, shape: tuple[int, ...]) -> Masks:
        """All instances of an image of this shape; none where no file is named after it."""
        found: Masks = []
        for path in self.files.get(image.stem, []):
            pixels = read_pixels(path, 1)
            if pixels is None or pixels.shape[:2] != shape[:2]:
                raise DataError(f"the mask {path} cannot be read or is not of the size of {image}")
            inside = (pixels[:, :, 0] > np.iinfo(pixels.dtype).max // 2).astype(np.uint8)
            count, parts, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
            wanted = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= SMALLEST]
            found += [np.where(parts == k, 255, 0).astype(np.uint8)[:, :, None] for k in wanted]
        return found


def mask_slots(masks: Masks, view: View, drawn: Crop, slots: int) -> Tensor:
    """The masks cut as their image, the greatest first: (slots, size, size) of -1 and 1, empty slots all -1."""
    cut = [view.take(mask, drawn)[:, :, 0] > 127 for mask in masks]
    cut = sorted((mask for mask in cut if mask.any()), key=lambda mask: -int(mask.sum()))[:slots]
    result = torch.full((slots, view.size, view.size), -1.0)
    for k, mask in enumerate(cut):
        result[k][torch.from_numpy(np.ascontiguousarray(mask))] = 1.0
    return result
