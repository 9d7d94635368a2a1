"""What is made of the shared images before a training reads it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.evidence import prepare as preparing
from benchmarks.evidence.prepare import WINDOW, prepare

GROUND, FLAW = 90, 10


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Two tiles with a dark blowhole each, one without, in either part; a mask for each."""
    for part in ("train", "test"):
        for kind, count in (("blowhole", 2), ("free", 1)):
            for k in range(count):
                tile, mask = np.full((256, 200), GROUND, np.uint8), np.zeros((256, 200), np.uint8)
                if kind == "blowhole":
                    for canvas, level in ((tile, FLAW), (mask, 255)):
                        cv2.circle(canvas, (30 + 90 * k, 60 + 150 * k), 8, level, -1)
                for folder, canvas in ((kind, tile), (f"{kind}_mask", mask)):
                    path = tmp_path / "magnetic_tile" / part / folder / f"{kind}{k}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(path), canvas)
    return tmp_path


def test_flaws_are_inside_their_outlines_and_sound_windows_have_an_outline_and_no_flaw(tiles: Path) -> None:
    work = tiles / "work"
    prepare("flaws", tiles, work)
    for side, count, inside in (("A", 2, FLAW), ("B", 3, GROUND)):
        pictures = sorted((work / "flaws" / f"train{side}").glob("*.png"))
        assert len(pictures) == count
        for path in pictures:
            tile = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            outline = cv2.imread(str(work / "flaws" / f"train{side}_mask" / path.name), cv2.IMREAD_GRAYSCALE)
            assert tile is not None
            assert outline is not None
            assert tile.shape == outline.shape == (WINDOW, WINDOW)
            assert (outline > 127).sum() > 100
            assert np.all(tile[outline > 127] == inside)
            assert np.all(tile[outline == 0] == GROUND)


def test_two_runs_that_make_the_same_share_it(tiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tiles / "work"

    def slower(_: Path, out: Path) -> None:
        (out / "late.png").touch()
        (work / "flaws").mkdir()
        (work / "flaws" / "early.png").touch()  # of the other run

    monkeypatch.setattr(preparing, "_flaws", slower)
    prepare("flaws", tiles, work)
    assert [path.name for path in (work / "flaws").iterdir()] == ["early.png"]
    assert [path.name for path in work.iterdir()] == ["flaws"]
