"""Grids, draws, segmenters: closed forms and brute force."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.checkerboard import LEVELS, flat_frames, grid_energy
from benchmarks.quality.diversity import collapsed, distinct, spread
from benchmarks.quality.lpips import load_lpips
from benchmarks.quality.segmentation import IGNORED, counted, scores
from runtime.manifest import ImagePort


def test_grid_energy_is_that_of_the_peaks_of_the_spectrum() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:128, 0:192]
    grid = 3.0 * np.cos(2 * np.pi * rows / 4) + 2.0 * np.cos(np.pi * (rows + columns))
    picture = np.clip(120 + grid[:, :, None] + rng.normal(0, 4, (128, 192, 1)), 0, 255).astype(np.uint8)
    inside = picture[32:96, 32:160, 0].astype(np.float64)
    spectrum = np.abs(np.fft.fft2(inside) / inside.size) ** 2
    peaks = spectrum[:: inside.shape[0] // 8, :: inside.shape[1] // 8].copy()
    peaks[0, 0] = 0
    assert grid_energy(picture) == pytest.approx(np.sqrt(peaks.sum()), rel=0.03)
    assert grid_energy(picture) == pytest.approx(np.sqrt(3**2 / 2 + 2**2), rel=0.05)  # RMS of the two waves


def test_neither_noise_nor_a_slope_is_a_grid() -> None:
    rng = np.random.default_rng(1)
    noise = np.clip(rng.normal(128, 6, (256, 256, 1)), 0, 255).astype(np.uint8)
    tiles = ((256 - 64) // 8) ** 2
    assert grid_energy(noise) == pytest.approx(6 / np.sqrt(tiles), rel=0.3)
    slope = (np.add.outer(np.arange(256), np.arange(256)) * 64).astype(np.uint16)[:, :, None]
    assert grid_energy(slope) < 0.01
    assert grid_energy(np.full((64, 64, 3), 90, np.uint8)) == 0


def test_flat_frames_are_of_the_engines_depth() -> None:
    frames = flat_frames(ImagePort("frame", 4, 6, 1, "uint16", "gray"))
    assert [int(frame[0, 0, 0]) for frame in frames] == [level * 257 for level in LEVELS]
    assert frames[0].shape == (4, 6, 1)


def test_distinct_pictures_are_counted() -> None:
    rng = np.random.default_rng(2)
    modes = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(3)]
    draws = [np.clip(modes[k % 3].astype(int) + rng.integers(-1, 2, (16, 16, 3)), 0, 255).astype(np.uint8)
             for k in range(12)]  # fmt: skip
    assert distinct(draws) == 3
    assert distinct(draws[::3]) == 1
    assert "COLLAPSED: 3.0 pictures out of 12" in collapsed([3], 12)
    assert "changes nothing" in collapsed([1, 1], 12)
    assert collapsed([12], 12) == ""


def test_spread_is_the_mean_of_all_pairs(shared_data: Path) -> None:
    lpips, rng = load_lpips(shared_data / "weights"), np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(3)]
    by_hand = np.mean([lpips.distance(a, b) for a, b in combinations(pictures, 2)])
    assert spread(lpips, pictures) == pytest.approx(by_hand)


def test_the_fcn_score_by_brute_force() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, (20, 30)).astype(np.uint8)
    seen = np.where(rng.random((20, 30)) < 0.6, labels, rng.integers(0, 4, (20, 30)))
    labels[:2] = IGNORED
    known, pixels = labels != IGNORED, int((labels != IGNORED).sum())
    found = scores(counted(seen, labels, 5))
    assert found.pixel_accuracy == pytest.approx((seen == labels)[known].sum() / pixels)
    recalls = [((seen == k) & (labels == k)).sum() / (labels == k).sum() for k in range(3)]
    assert found.class_accuracy == pytest.approx(np.mean(recalls))
    overlaps = [((seen == k) & (labels == k) & known).sum() / (((seen == k) | (labels == k)) & known).sum()
                for k in range(4)]  # class 3 is seen, though no label has it; class 4 is nowhere  # fmt: skip
    assert found.class_iou == pytest.approx(np.mean(overlaps))
    assert scores(counted(labels, labels, 5)) == (1, 1, 1)
