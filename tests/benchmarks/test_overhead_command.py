"""The overhead benchmark through its command, on the identity backend."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.overhead import BARE, CLIP, SYNTHETIC, Comparison, main
from runtime.errors import ManifestError, SourceError

QUICK = ["--frames", "20", "--rounds", "2"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (24, 16))
    for level in range(25):
        writer.write(np.full((16, 24, 3), level * 10, np.uint8))
    writer.release()
    return path


def test_all_three_ways_are_measured(null_engine: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--engine", str(null_engine), "--clip", str(clip), "--json", *QUICK]) == 0
    ways = json.loads(capsys.readouterr().out)
    assert list(ways) == [BARE, SYNTHETIC, CLIP]
    assert ways[BARE]["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    for figures in ways.values():
        assert 0 < figures["fps"]["low"] <= figures["fps"]["median"] <= figures["fps"]["high"]


def test_without_a_clip_the_table_has_two_rows(null_engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--engine", str(null_engine), *QUICK]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_ratios_are_within_a_round() -> None:
    comparison = Comparison({BARE: [100.0, 10.0, 100.0], SYNTHETIC: [95.0, 9.5, 99.0]})
    assert comparison.ratio(SYNTHETIC) == {"median": 0.95, "low": 0.95, "high": 0.99}


def test_a_clip_that_is_too_short_or_absent_is_told(null_engine: Path, clip: Path) -> None:
    engine = str(null_engine)
    with pytest.raises(SourceError, match=r"has 25 frames, not 30: lower --frames"):
        main(["--engine", engine, "--clip", str(clip), "--frames", "30", "--rounds", "2"])
    with pytest.raises(SourceError, match="there is no clip"):
        main(["--engine", engine, "--clip", "absent.mp4", *QUICK])
    with pytest.raises(ManifestError, match="there is no engine"):
        main(["--engine", "absent.onnx", *QUICK])


def test_one_frame_has_no_rate(null_engine: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--engine", str(null_engine), "--frames", "1"])
    assert ended.value.code == 2
