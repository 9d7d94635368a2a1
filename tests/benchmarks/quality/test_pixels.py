"""Figures of pictures against closed forms and second implementations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.quality.flicker import at_rest, flicker, still_flicker
from benchmarks.quality.pixels import edge_ssim, edges, ms_ssim, pixel_accuracy, rmse
from runtime.errors import FrameError
from runtime.frames import Array

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, from the paper


def parts(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Means of luminance × contrast × structure, and of contrast × structure, of one channel (Wang et al. 2003)."""
    def blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(x, 1.5, radius=5)[5:-5, 5:-5])

    a, b = blur(one), blur(other)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    structure = (2 * (blur(one * other) - a * b) + c2) / (blur(one**2) - a**2 + blur(other**2) - b**2 + c2)
    return float((structure * (2 * a * b + c1) / (a**2 + b**2 + c1)).mean()), float(structure.mean())


def reference_ms_ssim(one: Array, other: Array) -> float:
    channels = []
    for k in range(one.shape[2]):
        a, b, product = one[:, :, k].astype(np.float64), other[:, :, k].astype(np.float64), 1.0
        for scale, weight in enumerate(WEIGHTS):
            whole, structure = parts(a, b)
            product *= (whole if scale == 4 else structure) ** weight
            a, b = (x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2] for x in (a, b))
            a, b = (x.reshape(x.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3)) for x in (a, b))
        channels.append(product)
    return float(np.mean(channels))


def test_ms_ssim_is_the_papers_formula() -> None:
    rng = np.random.default_rng(0)
    picture = np.clip(gaussian_filter(rng.normal(0, 900, (192, 208, 3)), (6, 6, 0)) + 120, 0, 255).astype(np.uint8)
    noisy = np.clip(picture + rng.normal(0, 25, picture.shape), 0, 255).astype(np.uint8)
    assert ms_ssim(noisy, picture) == pytest.approx(reference_ms_ssim(noisy, picture), abs=2e-3)
    assert ms_ssim(picture, picture) == pytest.approx(1)


def test_ms_ssim_says_which_size_it_needs() -> None:
    small = np.zeros((176, 175, 3), np.uint8)
    with pytest.raises(FrameError, match="176×176 pixels or more, not 175×176"):
        ms_ssim(small, small)
    with pytest.raises(FrameError, match="one size"):
        ms_ssim(small, small[:, :, :1])


def test_rmse_and_pixel_accuracy_by_hand() -> None:
    true = np.full((2, 2, 3), 100, np.uint8)
    seen = true.copy()
    seen[0, 0, 1] += 4
    seen[0, 1, 2] -= 5
    assert rmse(seen, true) == pytest.approx(np.sqrt((16 + 25) / 12))
    assert pixel_accuracy(seen, true, 5) == 3 / 4  # a channel that is 5 off is not within 5
    assert pixel_accuracy(seen, true, 10) == 1
    deep = [picture.astype(np.uint16) * 257 for picture in (seen, true)]
    assert rmse(*deep) == pytest.approx(rmse(seen, true))


def test_edges_are_kept_by_another_colour_and_lost_by_another_place() -> None:
    rng = np.random.default_rng(2)
    picture = np.kron(rng.integers(40, 200, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    recoloured = (255 - picture // 2).astype(np.uint8)
    assert edge_ssim(recoloured, picture) > 0.9
    assert edge_ssim(np.roll(picture, 4, axis=1), picture) < 0.5
    assert edges(np.full((8, 8, 1), 7, np.uint8)).max() == 0


def test_flicker_is_the_mean_difference_of_consecutive_frames_in_the_region() -> None:
    frames = [np.full((8, 8, 3), level, np.uint8) for level in (10, 16, 12)]
    for frame in frames:
        frame[4:] = np.random.default_rng(int(frame[0, 0, 0])).integers(0, 256, (4, 8, 3))
    assert flicker(frames, (slice(0, 4), slice(0, 8))) == pytest.approx(5.0)
    assert flicker(frames, (slice(4, 8), slice(0, 8))) > 20


def test_what_moves_is_no_flicker() -> None:
    rng = np.random.default_rng(5)
    wall = np.full((64, 96, 3), 120, np.uint8)
    before, after = wall.copy(), wall.copy()
    before[20:40, 10:30], after[20:40, 50:70] = 220, 220  # a box that jumps
    still = at_rest(before, after)
    assert not still[22:38, 12:28].any()
    assert not still[22:38, 52:68].any()
    assert still[50:, :].all()
    made = [np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8) for frame in (before, after)]
    # The difference of two draws of a deviation of 3 has the mean magnitude 3 · 2 / √π; rounding adds a little.
    assert still_flicker(*made, still) == pytest.approx(3 * 2 / np.sqrt(np.pi), rel=0.05)
    assert at_rest(before, before + 10)[:10].all()  # a lamp that is turned up
