"""Whether there are enough images to learn a domain from."""

from __future__ import annotations

import sys

from models.data.datasets import Dataset
from models.data.places import DataConfig
from models.errors import DataError

FEW = 50  # images of a domain, below which overfitting is to be expected


def check_enough(dataset: Dataset, cfg: DataConfig) -> None:
    """Warn where the smallest domain has fewer than FEW images; DataError below `least_images`.

    Data sets that are one image by their nature know no `fewest` and pass.
    """
    count = getattr(dataset, "fewest", None)
    if count is None:
        return
    if warning := judge_amount(count, cfg.least_images, f", or set least_images={count} if you mean it"):
        print(f"warning: {warning}", file=sys.stderr)


def judge_amount(count: int, least: int, otherwise: str = "") -> str:
    """A warning for the user where a domain has few images, "" where it has enough.

    Raises:
        DataError: it has fewer than `least`; `otherwise` ends the sentence with another way out.
    """
    if count < least:
        raise DataError(f"{count} images of a domain are too few to learn it from; give at least {least}{otherwise}")
    if count < FEW:
        return f"with {count} images of a domain the networks will memorise them; see docs/limited_data.md"
    return ""
