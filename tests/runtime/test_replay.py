"""`replay:` gives a recording over and over, each frame when its time has come."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime import sources
from runtime.errors import SourceError
from runtime.manifest import ImagePort

PORT = ImagePort("frame", 8, 8, 3)


def test_a_folder_comes_again_and_again_at_its_own_pace(tmp_path: Path) -> None:
    for level in (10, 20, 30):
        cv2.imwrite(str(tmp_path / f"{level}.png"), np.full((8, 8, 3), level, np.uint8))
    uri = f"replay:{tmp_path}"
    assert sources.is_live(uri)
    with closing(sources.open_source(uri, PORT)) as source:
        shots = [source.read() for _ in range(7)]
    levels = [int(shot.frame[0, 0, 0]) for shot in shots if shot]
    assert levels == [10, 20, 30, 10, 20, 30, 10]
    times = [shot.captured for shot in shots if shot]
    gaps = np.diff(times)
    assert (gaps > 0).all()
    assert times[-1] - times[0] > 0.15, "six gaps of 40 ms, of which a late start may take one"


@pytest.mark.parametrize(("rest", "words"), [("absent.mp4", "absent.mp4"), ("synthetic:@5", "is live already")])
def test_what_cannot_be_replayed_is_told(rest: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        sources.open_source(f"replay:{rest}", PORT)
