"""The TensorRT backend, whole, on fakes made from the records of the real bindings (tests/vendor_api).

What the fakes compute is ONNX Runtime's result, and nothing happens before something waits for it: a picture is right
only if every copy, launch and wait is where it belongs. A name or an argument that the recorded TensorRT lacks fails.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from export.tensorrt import PlanSpec, build_plan
from runtime.backends import tensorrt, tensorrt_library
from runtime.engine import Engine, infer, open_engine
from runtime.errors import EngineError
from runtime.frames import Array
from runtime.manifest import Manifest, file_sha256, read_manifest, write_manifest
from tests.vendor_api.fake_gpu import FakeGpu, bindings_modules
from tests.vendor_api.fake_pycuda import pycuda_modules
from tests.vendor_api.fake_tensorrt import tensorrt_module
from tests.vendor_api.small_graphs import in_precision, random_inputs, save, sixteen_bit

INSTALLATIONS = (
    ("tensorrt-10.3", "pycuda"),  # JetPack 6
    ("tensorrt-10.16", "cuda-bindings"),
    ("tensorrt-11.4", "cuda-bindings"),
    ("tensorrt-rtx", "cuda-bindings"),
    ("tensorrt-rtx", "pycuda"),
)


@dataclass
class Bench:
    """One faked installation: a TensorRT, a CUDA layer and a GPU."""

    backend: str
    gpu: FakeGpu
    module: Any
    folder: Path

    def build(self, model: onnx.ModelProto, precision: str = "fp32", **spec: Any) -> Path:
        """A plan of `model` with its manifest, through the real builder code."""
        graph, plan = self.folder / "graph.onnx", self.folder / "graph.plan"
        manifest = save(model, graph, precision)
        built = build_plan(graph, precision, PlanSpec(self.backend, **spec))
        plan.write_bytes(built.plan)
        write_manifest(
            replace(
                manifest,
                file=plan.name,
                backend=self.backend,
                backend_version=built.version,
                targets=built.targets,
                sha256={"engine": file_sha256(plan)},
                command=f"python -m export.engine graph.onnx --backend {self.backend} --out graph.plan --targets sm75",
            ),
            plan,
        )
        return plan

    def open(self, model: onnx.ModelProto, precision: str = "fp32") -> Engine:
        return open_engine(self.build(model, precision))

    def rewrite(self, plan: Path, **fields: Any) -> Manifest:
        manifest = replace(read_manifest(plan), **fields)
        write_manifest(manifest, plan)
        return manifest


def install(monkeypatch: pytest.MonkeyPatch, record: str, layer: str, folder: Path) -> Bench:
    gpu = FakeGpu()
    backend = "tensorrt-rtx" if record == "tensorrt-rtx" else "tensorrt"
    module = tensorrt_module(record, gpu)
    for name in tensorrt_library.MODULES[backend]:
        monkeypatch.setitem(sys.modules, name, module)
    present = bindings_modules(gpu) if layer == "cuda-bindings" else pycuda_modules(gpu)
    absent = "pycuda" if layer == "cuda-bindings" else "cuda"
    monkeypatch.setitem(sys.modules, absent, None)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    for name, fake in present.items():
        monkeypatch.setitem(sys.modules, name, fake)
    for name in ("runtime.backends.cuda_bindings", "runtime.backends.cuda_pycuda"):
        monkeypatch.setitem(sys.modules, name, None)  # so that the end of the test puts back what was there
        del sys.modules[name]
    tensorrt_library.open_library.cache_clear()
    return Bench(backend, gpu, module, folder)


@pytest.fixture(params=INSTALLATIONS, ids="+".join)
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    """Every TensorRT, and both layers."""
    yield install(monkeypatch, *request.param, tmp_path)
    tensorrt_library.open_library.cache_clear()


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    """TensorRT 10.16 with cuda-bindings, where the version does not matter."""
    yield install(monkeypatch, "tensorrt-10.16", "cuda-bindings", tmp_path)
    tensorrt_library.open_library.cache_clear()


def reference(model: onnx.ModelProto, inputs: dict[str, Array]) -> Array:
    """ONNX Runtime's picture."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    picture: Array = session.run(["translated"], inputs)[0]
    return picture


def test_frames_come_back_translated_and_in_order_with_two_in_flight(bench: Bench) -> None:
    model = in_precision("plain_conv", "fp16")
    items = [random_inputs(model, seed) for seed in range(5)]
    done: list[Array] = []
    with closing(bench.open(model, "fp16")) as engine:
        for index, item in enumerate(items):
            engine.submit(item)
            if index >= 1:
                done.append(engine.collect()["translated"].copy())
        done.append(engine.collect()["translated"].copy())
    for item, picture in zip(items, done, strict=True):
        np.testing.assert_array_equal(picture, reference(model, item))


def test_an_int8_plan_and_a_control_run(bench: Bench) -> None:
    model = in_precision("adain", "int8")
    with closing(bench.open(model, "int8")) as engine:
        for seed in range(3):
            item = random_inputs(model, seed)
            np.testing.assert_array_equal(infer(engine, item)["translated"], reference(model, item))


def test_sixteen_bit_frames_keep_their_type(bench: Bench) -> None:
    model = sixteen_bit()
    item = random_inputs(model, 1)
    with closing(bench.open(model)) as engine:
        picture = infer(engine, item)["translated"]
    assert picture.dtype == np.uint16
    np.testing.assert_array_equal(picture, reference(model, item))


def test_outputs_stay_valid_until_two_further_submissions(bench: Bench) -> None:
    model = in_precision("plain_conv", "fp32")
    items = [random_inputs(model, seed) for seed in range(2)]
    with closing(bench.open(model)) as engine:
        engine.submit(items[0])
        first = engine.collect()["translated"]
        engine.submit(items[1])
        engine.collect()
        np.testing.assert_array_equal(first, reference(model, items[0]))


def test_the_caller_may_change_its_frame_only_after_collecting_but_the_plan_reads_a_copy(bench: Bench) -> None:
    model = in_precision("plain_conv", "fp32")
    item = random_inputs(model, 3)
    wanted = reference(model, item)
    with closing(bench.open(model)) as engine:
        engine.submit(item)
        item["frame"][...] = 0
        np.testing.assert_array_equal(engine.collect()["translated"], wanted)


def test_everything_is_freed_and_closing_twice_is_harmless(bench: Bench) -> None:
    model = in_precision("plain_conv", "fp32")
    engine = bench.open(model)
    engine.submit(random_inputs(model, 0))  # in flight while it closes
    engine.close()
    engine.close()
    assert not bench.gpu.pinned
    assert not bench.gpu.device


def test_the_backend_line_names_library_gpu_layer_and_graph(bench: Bench) -> None:
    with closing(bench.open(in_precision("plain_conv", "fp32"))) as engine:
        assert engine.depth == 2
        assert engine.backend.startswith(f"{bench.backend} {bench.module.__version__} on sm86 (")
        graphs = bench.backend == "tensorrt-rtx" or "cuda-bindings" in engine.backend
        assert ("CUDA graph" in engine.backend) == graphs


def test_a_captured_graph_is_what_runs(one: Bench) -> None:
    model = in_precision("plain_conv", "fp32")
    with closing(one.open(model)) as engine:
        infer(engine, random_inputs(model, 0))
        infer(engine, random_inputs(model, 1))
    assert one.gpu.launches == 2


def test_a_plan_that_no_graph_can_hold_runs_without_one(one: Bench) -> None:
    one.module.behaviour.capturable = False
    model = in_precision("plain_conv", "fp32")
    item = random_inputs(model, 0)
    with closing(one.open(model)) as engine:
        np.testing.assert_array_equal(infer(engine, item)["translated"], reference(model, item))
        assert "CUDA graph" not in engine.backend
    assert one.gpu.launches == 0


def test_a_third_submission_and_an_empty_collect_are_refused(bench: Bench) -> None:
    model = in_precision("plain_conv", "fp32")
    item = random_inputs(model, 0)
    with closing(bench.open(model)) as engine:
        with pytest.raises(EngineError, match=r"submit\(\) first"):
            engine.collect()
        engine.submit(item)
        engine.submit(item)
        with pytest.raises(EngineError, match=r"collect\(\) first: 2 frames are already in flight"):
            engine.submit(item)
        np.testing.assert_array_equal(engine.collect()["translated"], reference(model, item))


def test_another_thread_is_refused(bench: Bench) -> None:
    model = in_precision("plain_conv", "fp32")
    item = random_inputs(model, 0)
    with closing(bench.open(model)) as engine:
        errors: list[BaseException] = []
        for call in (lambda: engine.submit(item), engine.collect, engine.close):
            thread = Thread(target=lambda call=call: _keep_error(call, errors))
            thread.start()
            thread.join()
        assert [type(error) for error in errors] == [EngineError] * 3
        assert "belongs to the thread that opened it" in str(errors[0])


def _keep_error(call: Callable[[], object], errors: list[BaseException]) -> None:
    try:
        call()
    except BaseException as error:
        errors.append(error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda item: item | {"frame": item["frame"][:, :16]}, r"'frame' is uint8 \(1, 16, 32, 3\), .* takes uint8"),
        (lambda item: item | {"frame": item["frame"].astype("float32")}, "'frame' is float32 .* takes uint8"),
        (lambda item: {"frame": item["frame"]}, "also takes 'style'"),
    ],
)
def test_a_wrong_input_is_told_and_the_engine_lives_on(one: Bench, change: Any, words: str) -> None:
    model = in_precision("adain", "fp32")
    item = random_inputs(model, 0)
    with closing(one.open(model)) as engine:
        with pytest.raises(EngineError, match=words):
            engine.submit(change(item))
        np.testing.assert_array_equal(infer(engine, item)["translated"], reference(model, item))


def test_another_version_is_told_with_the_command_that_rebuilds(bench: Bench) -> None:
    plan = bench.build(in_precision("plain_conv", "fp32"))
    content = plan.read_bytes().replace(bench.module.__version__.encode(), b"9.9.9", 1)
    plan.write_bytes(content)
    bench.rewrite(plan, backend_version="9.9.9", sha256={"engine": file_sha256(plan)})
    words = rf"built with {bench.backend} 9\.9\.9, here is .* on sm86; TensorRT says: .*VERSION.* again here: python"
    with pytest.raises(EngineError, match=words):
        open_engine(plan)
    assert not bench.gpu.pinned
    assert not bench.gpu.device


def test_another_gpu_is_told_with_the_command_that_rebuilds(bench: Bench) -> None:
    plan = bench.build(in_precision("plain_conv", "fp32"))
    bench.rewrite(plan, targets=("sm75", "sm120"))
    with pytest.raises(EngineError, match=r"built for sm75, sm120, this GPU is sm86; .* python -m export") as told:
        open_engine(plan)
    command = str(told.value).partition("build it again: ")[2]
    target = " --targets sm86" if bench.backend == "tensorrt-rtx" else ""
    assert command.endswith(f"--out graph.plan{target}")


@pytest.mark.parametrize(("target", "runs"), [("sm80+", True), ("sm86", True), ("sm89+", False), ("sm80", False)])
def test_a_plus_means_and_newer(one: Bench, target: str, runs: bool) -> None:
    plan = one.build(in_precision("plain_conv", "fp32"))
    one.rewrite(plan, targets=(target,))
    if runs:
        open_engine(plan).close()
        return
    with pytest.raises(EngineError, match="this GPU is sm86"):
        open_engine(plan)


def test_a_plan_for_a_dla_core_opens_on_that_core(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = one.build(in_precision("plain_conv", "fp16"), "fp16")
    one.rewrite(plan, decisions={"dla": "1"})
    cores = []
    behaviour = type(one.module.behaviour)
    real = behaviour.Runtime_deserialize_cuda_engine
    monkeypatch.setattr(
        behaviour,
        "Runtime_deserialize_cuda_engine",
        lambda self, this, content: cores.append(this.DLA_core) or real(self, this, content),
    )
    open_engine(plan).close()
    assert cores == [1]


def test_no_driver_is_told(bench: Bench) -> None:
    plan = bench.build(in_precision("plain_conv", "fp32"))
    bench.gpu.driver = False
    with pytest.raises(EngineError, match=r"no NVIDIA GPU answers here .*driver"):
        open_engine(plan)


@pytest.mark.parametrize("function", ["cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags"])
def test_a_full_gpu_is_told_and_leaves_nothing(one: Bench, function: str) -> None:
    plan = one.build(in_precision("plain_conv", "fp32"))
    one.gpu.fail = {function}
    with pytest.raises(EngineError, match=f"CUDA refused {function}: cudaErrorMemoryAllocation"):
        open_engine(plan)
    assert not one.gpu.device
    assert not one.gpu.pinned


def test_a_plan_changed_between_check_and_load_never_reaches_tensorrt(one: Bench) -> None:
    plan = one.build(in_precision("plain_conv", "fp32"))
    manifest = read_manifest(plan)
    plan.write_bytes(plan.read_bytes() + b"x")
    with pytest.raises(EngineError, match="changed while it was opened"):
        tensorrt.load(plan, manifest)


def test_a_graph_is_no_plan(one: Bench) -> None:
    save(in_precision("plain_conv", "fp32"), one.folder / "graph.onnx")
    with pytest.raises(EngineError, match=r"is a onnx engine, not a TensorRT plan: .*--backend tensorrt"):
        open_engine(one.folder / "graph.onnx", "tensorrt")


def test_without_a_cuda_layer_the_error_names_one(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = one.build(in_precision("plain_conv", "fp32"))
    for name in ("cuda", "cuda.bindings", "pycuda"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "runtime.backends.cuda_bindings")
    with pytest.raises(EngineError, match="pip install cuda-bindings"):
        open_engine(plan)


def test_without_tensorrt_the_error_names_the_extra(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = one.build(in_precision("plain_conv", "fp32"))
    for name in tensorrt_library.MODULES["tensorrt"]:
        monkeypatch.setitem(sys.modules, name, None)
    tensorrt_library.open_library.cache_clear()
    with pytest.raises(EngineError, match=r"pip install 'inloco\[tensorrt\]'"):
        open_engine(plan)


def test_a_tensorrt_that_is_too_old_is_told(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = one.build(in_precision("plain_conv", "fp32"))
    one.module.__version__ = "8.6.1"
    tensorrt_library.open_library.cache_clear()
    with pytest.raises(EngineError, match=r"8\.6\.1 is too old: 10\.3"):
        open_engine(plan)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", ["plain_conv", "instance_norm", "adain"])
@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_a_real_gpu_agrees_with_onnx_runtime(backend: str, name: str, precision: str, tmp_path: Path) -> None:
    if not any(_importable(module) for module in tensorrt_library.MODULES[backend]):
        pytest.skip(f"{backend} is not installed")
    model = in_precision(name, precision)
    bench = Bench(backend, FakeGpu(), None, tmp_path)
    with closing(bench.open(model, precision)) as engine:
        for seed in range(3):
            item = random_inputs(model, seed)
            difference = infer(engine, item)["translated"].astype(int) - reference(model, item).astype(int)
            assert np.abs(difference).mean() < 1.0  # of 255 levels; libraries round differently
            assert np.abs(difference).max() <= 8


def _importable(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True
