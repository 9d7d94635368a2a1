"""How faithful a picture is to its reference: both (H, W, C), uint8 or uint16, the same shape and type."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from runtime.frames import Array

IDENTICAL_DB = 100.0  # what identical pictures get: an infinite PSNR has no mean and no JSON
TILE = 32


def psnr(picture: Array, reference: Array) -> float:
    """Peak signal-to-noise ratio in dB, at most 100."""
    return float(_decibels(_squared_errors(picture, reference).mean(), _peak(reference)))


def worst_tile_psnr(picture: Array, reference: Array, tile: int = TILE) -> float:
    """The lowest PSNR of any tile x tile region, edges included: a small destroyed part cannot hide in the
    mean."""
    errors = _squared_errors(picture, reference).mean(axis=2)
    rows, columns = (range(0, size, tile) for size in errors.shape)
    sums = np.add.reduceat(np.add.reduceat(errors, rows, axis=0), columns, axis=1)
    heights, widths = (
        np.diff([*starts, size]) for starts, size in zip((rows, columns), errors.shape, strict=True)
    )
    return float(_decibels((sums / np.outer(heights, widths)).max(), _peak(reference)))


def ssim(picture: Array, reference: Array) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window of sigma 1.5, mean over the channels, at
    most 1."""
    similarity = structural_similarity(  # type: ignore[no-untyped-call]
        reference,
        picture,
        channel_axis=2,
        data_range=_peak(reference),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)


def bias(picture: Array, reference: Array) -> float:
    """Mean signed difference in levels of 255: positive where the picture is brighter than its reference."""
    return float((picture.astype(np.float64) - reference).mean() * 255 / _peak(reference))


def _peak(reference: Array) -> int:
    return int(np.iinfo(reference.dtype).max)


def _squared_errors(picture: Array, reference: Array) -> Array:
    if picture.shape != reference.shape or picture.dtype != reference.dtype:
        raise ValueError(
            f"cannot compare {picture.shape} {picture.dtype} with {reference.shape} {reference.dtype}"
        )
    return (picture.astype(np.float64) - reference) ** 2


def _decibels(mean_squared_error: float, peak: int) -> float:
    if mean_squared_error == 0:
        return IDENTICAL_DB
    return min(IDENTICAL_DB, 10 * float(np.log10(peak**2 / mean_squared_error)))
