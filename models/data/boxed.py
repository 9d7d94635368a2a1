"""Two folders of images with the boxes of their instances (models/data/boxes.py)."""

from __future__ import annotations

import sys

import numpy as np
from torch import Tensor

from models.data.batches import TwoBoxed
from models.data.boxes import BoxFolder, box_slots
from models.data.images import ImageFolder, list_images, to_tensor
from models.data.places import DataConfig, shuffled_index, sides, view
from models.errors import DataError


class Boxed:
    """`a` goes through its images in a new order each pass, `b` is drawn at random; a side may have no boxes at all."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        share, folders = cfg.cache_mib // 2, sides(cfg)
        self.folders = [(ImageFolder(list_images(side), cfg.channels, share), BoxFolder(side)) for side in folders]
        without = [str(side) for side, (_, boxes) in zip(folders, self.folders, strict=True) if not boxes.found]
        if len(without) == 2:
            raise DataError(
                f"there are no boxes of {without[0]} or {without[1]}: give them as {folders[0].name}_boxes/NAME.txt "
                "(x1 y1 x2 y2), VOC's .xml or COCO's .json"
            )
        if without:
            print(f"note: {without[0]} has no boxes; its images count as having no instance", file=sys.stderr)
        self.view, self.slots, self.seed, self.images = view(cfg), cfg.instances, seed, len(self.folders[0][0])
        self.fewest = min(len(images) for images, _ in self.folders)

    def sample(self, k: int) -> TwoBoxed:
        random = np.random.default_rng((self.seed, k))
        first = shuffled_index(self.seed, k, self.images)
        second = int(random.integers(len(self.folders[1][0])))
        (a, boxes_a), (b, boxes_b) = self._draw(0, first, random), self._draw(1, second, random)
        return TwoBoxed(a, b, boxes_a, boxes_b)

    def _draw(self, side: int, index: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        images, boxes = self.folders[side]
        pixels, drawn = images[index], self.view.draw(random)
        found = boxes.of(images.files[index], pixels.shape)
        slots = box_slots(found, pixels.shape, (self.view, drawn), self.slots)
        return to_tensor(self.view.take(pixels, drawn)), slots
