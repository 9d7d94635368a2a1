"""What changes from frame to frame where nothing moves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.frames import Array

SMOOTHING = 2.0  # px, sigma: the noise of the reference must not look like motion
STILL = 2.0  # levels of 255 by which a smoothed pixel may change and still count as at rest


def flicker(frames: Sequence[Array], region: tuple[slice, slice]) -> float:
    """Mean absolute difference of consecutive frames within (rows, columns), in levels of 255.

    Of a static background it is the noise and the instability of what made the frames; motion would add to it.
    """
    shown: list[NDArray[np.float64]] = [frame[region].astype(np.float64) for frame in frames]
    return float(np.mean([np.abs(b - a).mean() for a, b in pairwise(shown)]))


def at_rest(before: Array, after: Array) -> NDArray[np.bool_]:
    """(H, W): where two consecutive frames of a reference show the same. The reference is judged by its brightness,
    smoothed, and against the whole frame's change: a lamp that dims is no motion."""
    smooth = [cv2.GaussianBlur(frame.astype(np.float32).mean(axis=2), (0, 0), SMOOTHING) for frame in (before, after)]
    change = smooth[1] - smooth[0]
    still: NDArray[np.bool_] = np.abs(change - np.median(change)) < STILL * (np.iinfo(before.dtype).max / 255)
    return still


def still_flicker(before: Array, after: Array, still: NDArray[np.bool_]) -> float:
    """Mean absolute difference of two consecutive frames where `still`, in levels of 255; nan where nothing is."""
    if not still.any():
        return float("nan")
    difference = np.abs(after.astype(np.float64) - before).mean(axis=2)[still]
    return float(difference.mean() * 255 / np.iinfo(before.dtype).max)
