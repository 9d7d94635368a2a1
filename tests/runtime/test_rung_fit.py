"""Engines of other sizes on a ladder: what they see, and that their pictures are framed as the first engine's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from runtime.fit import fit_frame
from runtime.manifest import ImagePort, Manifest
from runtime.rung_fit import RungFit
from runtime.sources.synthetic import draw_pattern


def manifest(height: int, width: int, scale: int = 1, channels: int = 3) -> Manifest:
    frame = ImagePort("frame", height, width, channels)
    picture = ImagePort("translated", height * scale, width * scale, channels)
    return Manifest(f"{height}x{width}", {"engine": ""}, frame=frame, translated=(picture,))


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
@pytest.mark.parametrize("size", [(120, 160), (90, 200), (200, 90), (48, 64)])
@pytest.mark.parametrize("rung", [(24, 32), (64, 64), (48, 96), (40, 30)])
def test_an_engine_of_another_size_frames_the_picture_as_the_first_does(
    fit: str, size: tuple[int, int], rung: tuple[int, int]
) -> None:
    """Identity engines: what the lower one gives is the first one's picture, a little softer, with nothing moved."""
    height, width = size
    frame = cv2.GaussianBlur(draw_pattern(height, width, 3, "uint8")[:, :width], (0, 0), height / 12)
    first = manifest(48, 64)
    fits = RungFit(first, manifest(*rung), fit)
    seen = fits.to_engine(frame)
    assert seen.shape == (*rung, 3)
    found = fits.to_first(seen, frame)
    wanted = fit_frame(frame, 48, 64, fit)
    assert found.shape == wanted.shape
    inside = slice(3, -3), slice(3, -3)
    mean = np.abs(found[inside].astype(int) - wanted[inside]).mean()
    moved = np.abs(np.roll(wanted, 3, axis=1)[inside].astype(int) - wanted[inside]).mean()
    assert mean < max(3.0, moved / 2)


def test_engines_that_enlarge_and_engines_that_do_not_stand_on_one_ladder() -> None:
    frame = draw_pattern(24, 32, 3, "uint8")[:, :32].copy()
    fits = RungFit(manifest(24, 32, scale=2), manifest(24, 32), "letterbox")
    assert fits.to_engine(frame) is not None
    assert np.array_equal(fits.to_first(frame, frame), fit_frame(frame, 48, 64, "stretch"))
    assert np.array_equal(fits.untouched(frame), fit_frame(frame, 48, 64, "letterbox"))


def test_tiles_keep_the_size_of_the_frame() -> None:
    frame = draw_pattern(100, 150, 3, "uint8")[:, :150].copy()
    fits = RungFit(manifest(24, 32, scale=2), manifest(48, 48), "tile")
    assert fits.to_engine(frame) is frame
    assert fits.to_first(frame, frame).shape == fits.untouched(frame).shape == (200, 300, 3)
