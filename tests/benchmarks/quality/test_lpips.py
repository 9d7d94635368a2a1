"""LPIPS against the published example pair."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.quality.lpips import FEATURES_FILE, HEADS_FILE, Lpips, load_lpips
from runtime.errors import FrameError, SourceError
from runtime.frames import Frame
from runtime.images import read_image


@pytest.fixture(scope="module")
def weights(shared_data: Path) -> Path:
    return shared_data / "weights"


@pytest.fixture(scope="module")
def lpips(weights: Path) -> Lpips:
    return load_lpips(weights)


@pytest.mark.parametrize(("name", "published"), [("p0", 0.711), ("p1", 0.148)])
def test_lpips_gives_the_published_distances(lpips: Lpips, weights: Path, name: str, published: float) -> None:
    reference = read_image(weights / "lpips_ex_ref.png", 3)
    distance = lpips.distance(reference, read_image(weights / f"lpips_ex_{name}.png", 3))
    assert distance == pytest.approx(published, abs=0.005)


def test_lpips_is_a_symmetric_distance_that_grows_with_noise(lpips: Lpips) -> None:
    rng = np.random.default_rng(3)
    picture = rng.integers(60, 190, (64, 80, 3), dtype=np.uint8)
    noisy = [np.clip(picture + rng.normal(0, s, picture.shape), 0, 255).astype(np.uint8) for s in (4, 20, 60)]
    distances = [lpips.distance(picture, other) for other in noisy]
    assert lpips.distance(picture, picture) == 0
    assert distances == sorted(distances)
    assert lpips.distance(noisy[0], picture) == pytest.approx(distances[0], rel=1e-5)


def test_gray_is_measured_like_the_same_gray_in_three_channels(lpips: Lpips) -> None:
    rng = np.random.default_rng(4)
    gray: list[Frame] = [rng.integers(0, 256, (40, 48, 1), dtype=np.uint8) for _ in range(2)]
    colour = [np.repeat(picture, 3, axis=2) for picture in gray]
    assert lpips.distance(*gray) == pytest.approx(lpips.distance(*colour), rel=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (np.zeros((40, 40, 3), np.uint8), np.zeros((40, 41, 3), np.uint8), "one size"),
        (np.zeros((40, 40, 3), np.uint16), np.zeros((40, 40, 3), np.uint16), "uint8"),
        (np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40, 3), np.uint8), "at least 31×31"),
    ],
)
def test_lpips_refuses_what_it_cannot_compare(lpips: Lpips, one: Frame, other: Frame, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        lpips.distance(one, other)


def test_missing_and_damaged_weights_are_named(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=FEATURES_FILE):
        load_lpips(tmp_path)
    shutil.copy(weights / FEATURES_FILE, tmp_path)
    with pytest.raises(SourceError, match=HEADS_FILE):
        load_lpips(tmp_path)
    (tmp_path / HEADS_FILE).write_bytes((weights / HEADS_FILE).read_bytes()[:500])
    with pytest.raises(SourceError, match="damaged"):
        load_lpips(tmp_path)


def test_weights_of_another_network_are_refused(weights: Path, tmp_path: Path) -> None:
    shutil.copy(weights / FEATURES_FILE, tmp_path)
    heads = torch.load(weights / HEADS_FILE, "cpu", weights_only=True)
    torch.save({name: head[:, :32] for name, head in heads.items()}, tmp_path / HEADS_FILE)
    with pytest.raises(SourceError, match="another network"):
        load_lpips(tmp_path)
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / HEADS_FILE)
    with pytest.raises(SourceError, match="another network"):
        load_lpips(tmp_path)
    np.savez(tmp_path / FEATURES_FILE, **{"features.0.weight": np.zeros((64, 3, 7, 7), np.float32)})
    with pytest.raises(SourceError, match="another network"):
        load_lpips(tmp_path)
