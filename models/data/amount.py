"""How many images a training needs: with too few a network learns them by heart."""

from __future__ import annotations

from models.errors import DataError

FEWEST, FEW = 8, 50


def check_amount(images: int, where: str) -> str:
    """A warning for the user where `images` are few; empty where they are enough.

    Raises:
        DataError: they are too few for any training that means something.
    """
    if images < FEWEST:
        raise DataError(f"{where} holds {images} image(s), fewer than {FEWEST}: take more before training on them")
    if images < FEW:
        return f"{where} holds {images} images, fewer than {FEW}: expect what is learnt to fit these images best"
    return ""
