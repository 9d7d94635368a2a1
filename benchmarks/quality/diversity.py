"""How different the pictures are that one source becomes under different noise, and how many of them there are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

import numpy as np

from benchmarks.quality.lpips import Lpips
from benchmarks.quality.pixels import rmse
from runtime.frames import Array

SAME = 2.0  # levels of 255, RMS: two pictures as near as this are one picture to anybody


def spread(lpips: Lpips, versions: Sequence[Array]) -> float:
    """Mean LPIPS between two of the versions of one picture (Zhu et al., BicycleGAN, 2017)."""
    return fmean(lpips.distance(a, b) for a, b in combinations(versions, 2))


def distinct(versions: Sequence[Array], same: float = SAME) -> int:
    """How many pictures there are in a set when those within `same` of a picture that was met before are that picture.

    1 where the noise is ignored, and about the number of modes where a generator has collapsed to a few.
    """
    met: list[Array] = []
    for picture in versions:
        if all(rmse(picture, other) > same for other in met):
            met.append(picture)
    return len(met)


def collapsed(found: Sequence[int], drawn: int) -> str:
    """What is to be said of the counts of distinct pictures of some sources, each drawn `drawn` times."""
    share = float(np.mean(found)) / drawn
    if max(found) == 1:
        return f"COLLAPSED: the noise changes nothing ({drawn} draws, one picture)"
    return f"COLLAPSED: {np.mean(found):.1f} pictures out of {drawn} draws" if share < 0.5 else ""
