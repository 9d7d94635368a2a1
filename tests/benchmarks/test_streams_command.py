"""The cost of a second stream through its command, on the identity backend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.streams import Cost, main
from runtime.errors import ManifestError, SourceError

QUICK = ["--frames", "20", "--rounds", "2"]


def test_one_and_two_streams_are_measured_in_turns(null_engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--engine", str(null_engine), "--json", *QUICK]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["one_s", "two_s", "ratio", "fps_of_each"]
    for figures in found.values():
        assert 0 < figures["low"] <= figures["median"] <= figures["high"]


def test_the_table_names_the_limit(null_engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--engine", str(null_engine), *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[-1].startswith("| **two / (2 · one)**, wanted < 1.15 | ")


def test_a_ratio_is_of_one_round() -> None:
    cost = Cost([1.0, 10.0, 2.0], [2.0, 22.0, 4.0], [[1.0, 2.0]] * 3)
    assert cost.ratios == [1.0, 1.1, 1.0]
    assert cost.as_json()["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.1}


def test_what_cannot_be_measured_is_told(null_engine: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no clip"):
        main(["--engine", str(null_engine), "--clip", "absent.mp4", *QUICK])
    with pytest.raises(ManifestError, match="there is no engine"):
        main(["--engine", "absent.onnx", *QUICK])
    clip = tmp_path / "broken.mp4"
    clip.write_bytes(b"no video")
    with pytest.raises(SourceError, match=r"broken\.mp4"):
        main(["--engine", str(null_engine), "--clip", str(clip), *QUICK])
