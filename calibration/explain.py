"""Which layers cost the quality: each is returned to the higher precision alone, and the gain is measured.

The squared errors of layers nearly add up, so one ranking serves: keeping its first layers is the greedy
choice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from calibration.candidate import Candidate
from calibration.gate import Figures, Judge, Thresholds


@dataclass(frozen=True)
class Suspect:
    """A layer and what keeping it back gains."""

    layer: str
    gain_db: float  # of PSNR over the samples
    share: float  # of the squared error that goes away, negative where keeping it hurts


def rank(
    candidate: Candidate, judge: Judge, kept: Collection[str] = (), quiet: bool = False
) -> list[Suspect]:
    """The layers not yet kept, the most helpful first."""
    whole = judge.squared_error(candidate.build(kept))
    if whole == 0:
        return []
    suspects = []
    layers = [name for name in candidate.layers if name not in kept]
    for layer in tqdm(layers, desc="explaining", unit="layer", disable=quiet):
        error = judge.squared_error(candidate.build({*kept, layer}))
        # A remaining error of zero is told as 60 dB: JSON has no infinity.
        suspects.append(
            Suspect(layer, float(10 * np.log10(whole / max(error, whole * 1e-6))), 1 - error / whole)
        )
    return sorted(suspects, key=lambda suspect: -suspect.gain_db)


def keep_until_passed(
    candidate: Candidate,
    suspects: list[Suspect],
    judge: Judge,
    wanted: Thresholds,
    kept: Collection[str] = (),
) -> tuple[tuple[str, ...], Figures]:
    """Keep the suspects back, one by one in their order, until the gate passes or none is left."""
    keeping = list(kept)
    figures = judge.figures(candidate.build(keeping))
    for suspect in suspects:
        if not figures.failures(wanted):
            break
        keeping.append(suspect.layer)
        figures = judge.figures(candidate.build(keeping))
    return tuple(keeping), figures
