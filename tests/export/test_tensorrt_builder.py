"""What only the full TensorRT can do (DLA, timing cache, a GPU of its own), on fakes made from the real bindings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from export import build_progress
from export.tensorrt import Plan, PlanSpec, build_plan
from runtime.backends import tensorrt_library
from runtime.errors import EngineError
from tests.vendor_api.fake_gpu import FakeGpu, bindings_modules
from tests.vendor_api.fake_tensorrt import MAGIC, tensorrt_module
from tests.vendor_api.small_graphs import in_precision

BOTH = ("tensorrt-10.3", "tensorrt-10.16", "tensorrt-11.4")


@pytest.fixture(params=BOTH)
def trt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A TensorRT of each version on a GPU of compute capability 8.6."""
    gpu = FakeGpu()
    module = tensorrt_module(request.param, gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    for name, fake in bindings_modules(gpu).items():
        monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setitem(sys.modules, "runtime.backends.cuda_bindings", None)
    del sys.modules["runtime.backends.cuda_bindings"]
    tensorrt_library.open_library.cache_clear()
    yield module
    tensorrt_library.open_library.cache_clear()


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A small fp16 graph."""
    path = tmp_path / "graph.onnx"
    onnx.save(in_precision("plain_conv", "fp16"), path)
    return path


def build(graph: Path, **options: Any) -> Plan:
    return build_plan(graph, "fp16", PlanSpec("tensorrt", **options))


def header(plan: Plan) -> dict[str, Any]:
    """What the fake notes of the options that reached it."""
    noted: dict[str, Any] = json.loads(plan.plan.removeprefix(MAGIC).partition(b"\n")[0])
    return noted


def test_a_plan_is_for_the_gpu_it_is_built_on(trt: Any, graph: Path) -> None:
    built = build(graph)
    assert built.targets == ("sm86",)
    assert built.version == trt.__version__
    assert build(graph, targets=("sm86",)).targets == ("sm86",)


def test_another_gpu_must_build_its_own(trt: Any, graph: Path) -> None:
    with pytest.raises(
        EngineError, match=r"which is sm86, or for sm80\+: not for sm75; build there, or .*tensorrt-rtx"
    ):
        build(graph, targets=("sm75",))


def test_ampere_and_newer_share_a_plan(trt: Any, graph: Path) -> None:
    built = build(graph, targets=("sm80+",))
    assert built.targets == ("sm80+",)
    assert header(built)["compatibility"] == "AMPERE_PLUS"


def test_no_gpu_is_told(trt: Any, graph: Path) -> None:
    trt.behaviour.gpu.driver = False
    with pytest.raises(EngineError, match="no NVIDIA GPU answers"):
        build(graph)


def test_the_workspace_is_limited_in_mib(trt: Any, graph: Path) -> None:
    assert header(build(graph, workspace_mib=256))["workspace"] == 256 * 2**20
    assert header(build(graph))["workspace"] is None


def test_dla_falls_back_to_the_gpu_where_it_must(trt: Any, graph: Path) -> None:
    trt.behaviour.dla_cores = 2
    noted = header(build(graph, dla=1))
    assert noted["device"] == "DLA"
    assert noted["flags"] == ["GPU_FALLBACK"]


@pytest.mark.parametrize(("cores", "core"), [(0, 0), (2, 2), (2, -1)])
def test_a_missing_dla_core_is_told(trt: Any, graph: Path, cores: int, core: int) -> None:
    trt.behaviour.dla_cores = cores
    with pytest.raises(EngineError, match=f"--dla {core}: .* finds {cores} DLA cores here"):
        build(graph, dla=core)


def test_the_timing_cache_is_made_and_used_again(trt: Any, graph: Path) -> None:
    cache = graph.with_name("timings")
    build(graph, timing_cache=cache)
    assert cache.read_bytes() == b"timings"
    build(graph, timing_cache=cache)
    assert not list(graph.parent.glob("*.tmp"))


def test_a_foreign_timing_cache_is_told(trt: Any, graph: Path) -> None:
    cache = graph.with_name("timings")
    cache.write_bytes(b"of another version")
    with pytest.raises(EngineError, match=r"timings is not a timing cache .*the timing cache is of another version"):
        build(graph, timing_cache=cache)
    assert cache.read_bytes() == b"of another version"


def test_a_refused_build_quotes_tensorrt(trt: Any, graph: Path) -> None:
    trt.behaviour.refuse_build = "Could not find any implementation for node conv_7."
    with pytest.raises(
        EngineError, match=r"cannot build .*graph\.onnx: Could not find any implementation for node conv_7"
    ):
        build(graph)


def test_ctrl_c_stops_a_build_between_two_steps(trt: Any, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bar:
        total = 0

        def __init__(self, **options: Any) -> None:
            self.closed = False

        def update(self) -> None:
            raise KeyboardInterrupt

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(build_progress, "tqdm", Bar)
    with pytest.raises(KeyboardInterrupt):
        build(graph)
