"""Bare convolutions as the yardstick of an engine."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from benchmarks import efficiency
from benchmarks.efficiency import Convolution, busiest_convolution, chain
from benchmarks.timing import BackToBack
from export.macs import count_macs
from runtime.errors import EngineError
from runtime.manifest import ImagePort, Manifest, file_sha256, write_manifest

KIND = Convolution(16, 3, 8, 12)


def put(path: Path, model: onnx.ModelProto) -> Path:
    onnx.save(model, path)
    ports = [ImagePort(name, KIND.height, KIND.width, 1, colour="gray") for name in ("frame", "translated")]
    manifest = Manifest(path.name, {"engine": file_sha256(path)}, frame=ports[0], translated=(ports[1],))
    write_manifest(manifest, path)
    return path


def test_a_chain_holds_so_many_convolutions_of_its_kind() -> None:
    ends = 2 * KIND.channels * KIND.height * KIND.width
    for length in (2, 5):
        assert count_macs(chain(KIND, length)).exact == length * KIND.macs + ends
    assert busiest_convolution(chain(KIND, 3)) == KIND


def test_the_rate_of_bare_convolutions_is_that_of_the_difference() -> None:
    """A frame costs 1 ms and a convolution 0.5 ms; the engine's 6 of them take 5 ms."""
    engine, short, long = (BackToBack([[ms]] * 3) for ms in (5.0, 1 + 2 * 0.5, 1 + 10 * 0.5))
    found = efficiency._rates([engine, short, long], macs=6 * KIND.macs, bare_macs=8 * KIND.macs)
    assert found["bare_gmac_per_s"]["median"] == pytest.approx(KIND.macs / 0.5e-3 / 1e9, abs=1e-4)
    assert found["efficiency"]["median"] == pytest.approx(6 * 0.5 / 5, abs=1e-4)


def test_rounds_in_which_the_longer_chain_was_faster_are_left_out() -> None:
    short, long = BackToBack([[2.0], [9.0]]), BackToBack([[6.0], [6.0]])
    assert efficiency._rates([BackToBack([[5.0], [7.0]]), short, long], 1000, 1000)["efficiency"]["high"] == 0.8
    with pytest.raises(EngineError, match="too busy"):
        efficiency._rates([long, long, long], 1000, 1000)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_the_command_measures_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str], backend: str) -> None:
    engine = put(tmp_path / "engine.onnx", chain(KIND, 3))
    assert efficiency.main([f"{engine}@{backend}", "--seconds", "0.5", "--rounds", "10", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["convolution"] == {"channels": 16, "kernel": 3, "height": 8, "width": 12}
    assert found["backend"].startswith(backend)
    assert found["efficiency"]["median"] > 0


def test_an_engine_without_int8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no dense INT8 convolution"):
        efficiency.main([str(put(tmp_path / "float.onnx", chain(KIND, 0)))])
