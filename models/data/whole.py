"""Whole images: one of each domain is all that a system may learn from."""

from __future__ import annotations

from pathlib import Path

from models.data.batches import TwoImages
from models.data.images import ImageFolder, Pixels, list_images, shrunk, to_tensor
from models.data.places import DataConfig, sides
from models.errors import DataError


class TwoWhole:
    """An image of each domain, its longer side at most `size`; every sample is the same."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        self.a, self.b = (to_tensor(shrunk(only_picture(side, cfg.channels), cfg.size)) for side in sides(cfg))
        self.images = 1

    def sample(self, k: int) -> TwoImages:
        return TwoImages(self.a, self.b)


def only_picture(where: Path, channels: int) -> Pixels:
    """The image of a folder that holds one, or of a file; raises DataError."""
    files = [where] if where.is_file() else list_images(where)
    if len(files) > 1:
        raise DataError(f"{where} holds {len(files)} images, but one is learned from: name a file, or keep one")
    return ImageFolder(files, channels)[0]
