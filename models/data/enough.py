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
    if count < cfg.least_images:
        raise DataError(
            f"{count} images of a domain are too few to learn it from; give at least {cfg.least_images}, or set "
            f"least_images={count} if you mean it"
        )
    if count < FEW:
        print(
            f"warning: with {count} images of a domain the critic will memorise them; see docs/limited_data.md",
            file=sys.stderr,
        )
