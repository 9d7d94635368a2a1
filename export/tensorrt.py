"""Compile a frame graph into a plan with TensorRT 10, TensorRT 11 or TensorRT-RTX.

Precision is already in the graph (casts, Q/DQ): the network is strongly typed and no version-dependent precision flag
is used. No torch is needed, so the plan can be built on the device that will run it; TensorRT-RTX needs no GPU either.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from export.build_progress import build_progress
from export.dense import dense_as_convolutions
from runtime.backends.cuda_memory import open_cuda
from runtime.backends.tensorrt_library import Library, open_library
from runtime.errors import EngineError

# What TensorRT-RTX 1.x compiles for without a GPU, in one plan.
RTX_TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120")
# "sm80+": one plan for Ampere and everything newer, at some loss of speed; not on a Jetson.
AMPERE_PLUS = "sm80+"


@dataclass(frozen=True)
class PlanSpec:
    """How to build a plan."""

    backend: str = "tensorrt"  # or "tensorrt-rtx"
    targets: tuple[str, ...] = ()  # empty: RTX_TARGETS for RTX, this machine's GPU for TensorRT
    workspace_mib: int | None = None  # None: TensorRT's default, all memory; lower it on small boards
    timing_cache: Path | None = None  # read where it exists, written after the build: shortens later builds
    dla: int | None = None  # deep-learning accelerator core of a Jetson; None: the GPU


@dataclass(frozen=True)
class Plan:
    """A compiled engine, not yet written."""

    plan: bytes
    version: str
    targets: tuple[str, ...]


def build_plan(graph: Path, precision: str, spec: PlanSpec) -> Plan:
    """Compile the frame graph `graph`, whose weights and types already have `precision`.

    Raises:
        EngineError: TensorRT is absent or refuses the graph or an option (in its own words), or `precision` is "int8"
            and the graph has no Q/DQ.
    """
    model = load_frame_graph(graph, precision)
    library = open_library(spec.backend)
    builder = library.trt.Builder(library.logger)
    network = _parse(library, builder, model, graph)
    config = builder.create_builder_config()
    targets = _set_targets(library, config, spec)
    if spec.workspace_mib is not None:
        config.set_memory_pool_limit(library.trt.MemoryPoolType.WORKSPACE, spec.workspace_mib << 20)
    if spec.dla is not None:
        _use_dla(library, builder, config, spec.dla)
    if spec.timing_cache is not None:
        _load_timing_cache(library, config, spec.timing_cache)
    with build_progress(library.trt, config, f"building {graph.stem}"):
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        way_out = "; name only the GPUs you have with --targets" if len(targets) > 1 else ""
        raise EngineError(f"TensorRT cannot build {graph}: {library.reasons()}{way_out}")
    if spec.timing_cache is not None:
        write_whole(spec.timing_cache, bytes(config.get_timing_cache().serialize()))
    return Plan(bytes(plan), library.version, targets)


def load_frame_graph(graph: Path, precision: str) -> onnx.ModelProto:
    """Read a graph and prepare it for TensorRT: dense layers become convolutions, 16-bit images int32.

    Raises:
        EngineError: not an ONNX file, or an INT8 graph without Q/DQ.
    """
    try:
        model = onnx.load(graph)
    except Exception as error:  # protobuf's and onnx's errors share no base
        raise EngineError(f"{graph} is not a readable ONNX graph ({error}): export it again") from error
    quantised = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if precision == "int8" and not quantised:
        raise EngineError(
            f"{graph} is said to be int8 but has no QuantizeLinear node, and TensorRT no longer quantises by itself: "
            f"run `python -m calibration.quantize` on the fp32 graph"
        )
    dense_as_convolutions(model.graph)
    _widen_uint16(model.graph)
    return model


def _widen_uint16(graph: onnx.GraphProto) -> None:
    """Let 16-bit images enter and leave as int32; the graph only casts them, so the pictures stay the same."""
    wide = set()
    for port in (*graph.input, *graph.output):
        if port.type.tensor_type.elem_type == TensorProto.UINT16:
            port.type.tensor_type.elem_type = TensorProto.INT32
            wide.add(port.name)
    for node in graph.node:
        if node.op_type == "Cast" and node.output[0] in wide:
            next(item for item in node.attribute if item.name == "to").i = TensorProto.INT32


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that no half of it is ever seen."""
    partial = path.with_name(path.name + ".tmp")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise EngineError(f"cannot write {path}: {error.strerror}") from error


def _parse(library: Library, builder: Any, model: onnx.ModelProto, graph: Path) -> Any:
    trt = library.trt
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(model.SerializeToString(), str(graph)):
        raise EngineError(f"TensorRT cannot read {graph}{_parser_reason(library, parser, model)}")
    library.reasons()  # what the parser warned of is not a reason of the build
    return network


def _parser_reason(library: Library, parser: Any, model: onnx.ModelProto) -> str:
    """Where the first error is, and TensorRT's words."""
    if not parser.num_errors:
        return f": {library.reasons()}"
    error = parser.get_error(0)
    words = " ".join(error.desc().split())
    if not 0 <= error.node() < len(model.graph.node):
        return f": {words}"
    node = model.graph.node[error.node()]
    return f" at node {error.node()} ({node.op_type} {node.name!r}): {words}"


def _set_targets(library: Library, config: Any, spec: PlanSpec) -> tuple[str, ...]:
    if library.rtx:
        targets = spec.targets or RTX_TARGETS
        _set_capabilities(library, config, targets)
        return targets
    if spec.targets == (AMPERE_PLUS,):
        config.hardware_compatibility_level = library.trt.HardwareCompatibilityLevel.AMPERE_PLUS
        return spec.targets
    cuda = open_cuda()
    here = cuda.capability
    cuda.close()
    if spec.targets not in ((), (here,)):
        raise EngineError(
            f"TensorRT builds for the GPU it runs on, which is {here}, or for {AMPERE_PLUS}: "
            f"not for {', '.join(spec.targets)}; build there, or use --backend tensorrt-rtx"
        )
    return (here,)


def _set_capabilities(library: Library, config: Any, targets: tuple[str, ...]) -> None:
    """Name the GPUs of an RTX plan. The setters return False or do nothing where they refuse: look at everything."""
    known = library.trt.ComputeCapability
    accepted = sorted((name.lower() for name in known.__members__ if name.startswith("SM")), key=lambda n: int(n[2:]))
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        capability = known.__members__.get(target.upper())
        if capability is None or not config.set_compute_capability(capability, index):
            library.reasons()
            raise EngineError(
                f"TensorRT-RTX {library.version} does not compile for {target}, only for {', '.join(accepted)}; "
                f"for other GPUs build on the device with --backend tensorrt"
            )
    if config.num_compute_capabilities != len(targets):
        raise EngineError(f"TensorRT-RTX does not compile for {len(targets)} GPUs at once: {library.reasons()}")


def _use_dla(library: Library, builder: Any, config: Any, core: int) -> None:
    cores = 0 if library.rtx else builder.num_DLA_cores
    if not 0 <= core < cores:
        raise EngineError(f"--dla {core}: {library.backend} {library.version} finds {cores} DLA cores here; drop --dla")
    config.default_device_type = library.trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(library.trt.BuilderFlag.GPU_FALLBACK)  # for the layers that a DLA lacks


def _load_timing_cache(library: Library, config: Any, path: Path) -> None:
    if library.rtx:
        raise EngineError("--timing-cache: TensorRT-RTX times nothing while it builds; drop the option")
    content = path.read_bytes() if path.exists() else b""
    cache = config.create_timing_cache(content)
    if cache is None or not config.set_timing_cache(cache, False):
        raise EngineError(
            f"{path} is not a timing cache of this TensorRT {library.version} and GPU ({library.reasons()}): "
            "name another file"
        )
