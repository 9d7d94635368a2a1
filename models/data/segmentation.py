"""Segmentation labels beside a folder of images: of images/7.png, images_labels/7.png holds the class of each pixel.

Values are indices into the classes; 255 means unknown, and such pixels teach nothing. For two classes images_mask/7.png
serves as well: white is the second class, and an image without a mask is all of the first.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.images import Crop, View, list_images
from models.errors import DataError

UNKNOWN = 255


class LabelFolder:
    """The labels of the images of a folder; raises DataError when there are none, or not of every image."""

    def __init__(self, images: Path, classes: tuple[str, ...]) -> None:
        if not 2 <= len(classes) <= UNKNOWN:
            raise DataError(f"segmentation needs two classes or more, named in domains; it has {', '.join(classes)}")
        labels, masks = (images.with_name(images.name + end) for end in ("_labels", "_mask"))
        self.masks = not labels.is_dir() and len(classes) == 2
        self.folder, self.classes = masks if self.masks else labels, classes
        if not self.folder.is_dir():
            raise DataError(
                f"there are no segmentation labels of {images}: give them as {labels.name}/NAME.png, the class of each "
                f"pixel, or for two classes as {masks.name}/NAME.png"
            )
        self.files = {path.stem: path for path in list_images(self.folder)}

    def check(self, images: list[Path]) -> None:
        """Raises DataError when an image has no labels; masks may be missing."""
        lacking = [] if self.masks else [path.name for path in images if path.stem not in self.files]
        if lacking:
            raise DataError(f"{self.folder} has no labels of {lacking[0]} (of {len(lacking)} images in all)")

    def of(self, image: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """(H, W, classes) of an image of this shape: 255 in the plane of a pixel's class, 0 in the others."""
        path = self.files.get(image.stem)
        indices = self._indices(path, image, shape) if path else np.zeros(shape[:2], np.uint8)
        planes = [np.where(indices == k, 255, 0).astype(np.uint8) for k in range(len(self.classes))]
        return np.stack(planes, axis=2)

    def _indices(self, path: Path, image: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        stored = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if stored is None or stored.shape[:2] != shape[:2]:
            raise DataError(f"the labels {path} cannot be read or are not of the size of {image}")
        if self.masks:
            return (stored > 127).astype(np.uint8)
        found = np.unique(stored)
        if wrong := [int(k) for k in found if k >= len(self.classes) and k != UNKNOWN]:
            raise DataError(f"{path} has the class {wrong[0]}, but {len(self.classes)} classes are named in domains")
        return stored.astype(np.uint8)


def label_map(planes: NDArray[np.uint8], view: View, drawn: Crop) -> Tensor:
    """The labels cut as their image: (size, size) int64; a resized pixel has the class of most of its area."""
    cut = view.take(planes, drawn)
    likeliest = cut.argmax(axis=2).astype(np.int64)
    likeliest[cut.max(axis=2) < 128] = UNKNOWN
    return torch.from_numpy(np.ascontiguousarray(likeliest))
