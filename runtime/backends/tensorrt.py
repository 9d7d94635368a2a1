"""TensorRT and TensorRT-RTX: two frames in flight on one GPU, uploads and downloads beside the computation.

The thread that opens the engine owns the CUDA primary context and every TensorRT object, and is the only one that may
use them. A plan is executable code, so its bytes are hashed again as they are read, and host code in it stays
forbidden.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np

from runtime.backends.cuda_memory import Cuda, open_cuda
from runtime.backends.tensorrt_library import MODULES, RTX, Library, open_library
from runtime.errors import EngineError
from runtime.frames import Array
from runtime.manifest import Manifest


class TensorRtEngine:
    """A plan on GPU 0 (CUDA_VISIBLE_DEVICES chooses another)."""

    depth = 2

    def __init__(self, path: Path, manifest: Manifest, library: Library, cuda: Cuda) -> None:
        self.manifest = manifest
        self._cuda = cuda
        self._owner = get_ident()
        self._runtime = library.trt.Runtime(library.logger)
        self._runtime.engine_host_code_allowed = False
        if "dla" in manifest.decisions:
            self._runtime.DLA_core = int(manifest.decisions["dla"])
        self._engine = self._deserialize(path, library)
        ports = [manifest.frame, *manifest.translated]
        types = {port.name: port.dtype for port in ports if port is not None}
        self._lanes = [_Lane(self._engine, library, cuda, types) for _ in range(self.depth)]
        self._free = deque(self._lanes)
        self._busy: deque[_Lane] = deque()
        graph = ", CUDA graph" if library.rtx or self._lanes[0].graph else ""
        self.backend = f"{library.backend} {library.version} on {cuda.capability} ({cuda.name}{graph})"

    def submit(self, inputs: Mapping[str, Array]) -> None:
        self._check_thread()
        if not self._free:
            raise EngineError(f"collect() first: {self.depth} frames are already in flight")
        self._free[0].start(inputs)
        self._busy.append(self._free.popleft())

    def collect(self) -> dict[str, Array]:
        self._check_thread()
        if not self._busy:
            raise EngineError("submit() first: nothing is in flight")
        lane = self._busy.popleft()
        self._free.append(lane)
        return lane.finish()

    def close(self) -> None:
        if not self._lanes:
            return
        self._check_thread()
        busy, lanes = self._busy, self._lanes
        self._lanes, self._free, self._busy = [], deque(), deque()
        for lane in busy:
            lane.stream.wait()
        # TensorRT frees with the last reference: contexts, then the engine, then the runtime.
        for lane in lanes:
            lane.context = None
        self._engine = None
        self._runtime = None
        self._cuda.close()

    def _check_thread(self) -> None:
        if get_ident() != self._owner:
            raise EngineError("a TensorRT engine belongs to the thread that opened it: open, run and close it there")

    def _deserialize(self, path: Path, library: Library) -> Any:
        plan = path.read_bytes()
        if hashlib.sha256(plan).hexdigest() != self.manifest.sha256["engine"]:
            raise EngineError(f"{path} changed while it was opened (SHA-256 differs): copy it again")
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            built = self.manifest.backend_version
            versions = "" if built == library.version else f"it was built with {library.backend} {built}, "
            raise EngineError(
                f"{path} cannot be loaded: {versions}here is {library.version} on {self._cuda.capability}; "
                f"TensorRT says: {library.reasons()}; build it again here: {_rebuild(self.manifest)}"
            )
        return engine


class _Lane:
    """The way of one frame: a stream, an execution context, and page-locked and device memory for every tensor."""

    def __init__(self, engine: Any, library: Library, cuda: Cuda, types: Mapping[str, str]) -> None:
        self._library = library
        self._types = types  # of the images: TensorRT has no uint16, so 16-bit frames are int32 in a plan
        self.stream = cuda.stream()
        self.context = library.context(engine)
        self.inputs: dict[str, Array] = {}  # page-locked
        self.outputs: dict[str, Array] = {}
        self._device: dict[str, int] = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            shape = tuple(engine.get_tensor_shape(name))
            if min(shape) < 1:
                raise EngineError(f"tensor {name!r} of the plan has no fixed shape {shape}: export at one size")
            host = cuda.pinned(shape, _numpy_name(engine.get_tensor_dtype(name), name))
            is_input = engine.get_tensor_mode(name) == library.trt.TensorIOMode.INPUT
            (self.inputs if is_input else self.outputs)[name] = host
            self._device[name] = cuda.device(host.nbytes)
            if not self.context.set_tensor_address(name, self._device[name]):
                raise EngineError(f"TensorRT took no buffer for {name!r}: {library.reasons()}")
        self._launch = self._queue
        self.graph = self._capture()

    def start(self, inputs: Mapping[str, Array]) -> None:
        """Copy the inputs to page-locked memory and queue everything else."""
        for name, host in self.inputs.items():
            value = inputs.get(name)
            if value is None:
                raise EngineError(f"the engine also takes {name!r}; it has {', '.join(self.inputs)}")
            wanted = self._types.get(name, host.dtype)
            if value.shape != host.shape or value.dtype != wanted:
                raise EngineError(f"{name!r} is {value.dtype} {value.shape}, the engine takes {wanted} {host.shape}")
            np.copyto(host, value)
        self._launch()
        self.stream.mark()

    def finish(self) -> dict[str, Array]:
        """Wait; the outputs are views of page-locked memory (copies where the type had to change)."""
        self.stream.wait()
        return {
            name: host.astype(self._types.get(name, host.dtype), copy=False) for name, host in self.outputs.items()
        }

    def _queue(self) -> None:
        for name, host in self.inputs.items():
            self.stream.upload(self._device[name], host)
        if not self.context.execute_async_v3(self.stream.handle):
            raise EngineError(f"TensorRT did not run the frame: {self._library.reasons()}")
        for name, host in self.outputs.items():
            self.stream.download(host, self._device[name])

    def _capture(self) -> bool:
        """Run once, which lets TensorRT settle what it postpones, then keep the work as a CUDA graph if it can be."""
        for host in self.inputs.values():
            host.fill(0)
        self._queue()
        self.stream.mark()
        self.stream.wait()
        if self._library.rtx:
            return False  # TensorRT-RTX keeps its own (see Library.context)
        try:
            launch = self.stream.capture(self._queue)
        except EngineError:
            return False  # e.g. a loop in the plan; the engine's `backend` line says that there is no graph
        self._launch = launch or self._queue
        return launch is not None


def load(path: Path, manifest: Manifest) -> TensorRtEngine:
    """Open a plan with the TensorRT it was built for; the calling thread becomes its owner.

    Raises:
        EngineError: not a plan; TensorRT, a CUDA layer or the driver is absent; or the plan was built for another
            version or GPU, with the command that builds it again.
    """
    if manifest.backend not in MODULES:
        raise EngineError(
            f"{path} is a {manifest.backend} engine, not a TensorRT plan: "
            f"build one with `python -m export.engine {path.name} --backend tensorrt --out {path.stem}.plan`"
        )
    library = open_library(manifest.backend)
    cuda = open_cuda()
    try:
        _check_target(path, manifest, cuda.capability)
        return TensorRtEngine(path, manifest, library, cuda)
    except BaseException:
        cuda.close()
        raise


def _check_target(path: Path, manifest: Manifest, capability: str) -> None:
    here = int(capability.removeprefix("sm"))
    for target in manifest.targets:
        number = int(target.removeprefix("sm").removesuffix("+"))
        if number == here or (target.endswith("+") and number <= here):
            return
    raise EngineError(
        f"{path} was built for {', '.join(manifest.targets)}, this GPU is {capability}; "
        f"build it again: {_rebuild(manifest, capability)}"
    )


def _rebuild(manifest: Manifest, capability: str = "") -> str:
    """The command that made this plan; for another GPU, with that one as its target."""
    made = f"python -m export.engine GRAPH.onnx --backend {manifest.backend} --out {manifest.file}"
    command = manifest.command or made
    if not capability:
        return command
    bare = re.sub(r"\s--targets[ =]\S+", "", command)
    return f"{bare} --targets {capability}" if manifest.backend == RTX else bare


def _numpy_name(dtype: Any, tensor: str) -> str:
    """TensorRT's own `nptype` fails with numpy 2 in old versions."""
    names = {"UINT8": "uint8", "FLOAT": "float32", "HALF": "float16", "INT32": "int32", "INT64": "int64"}
    if dtype.name not in names:
        raise EngineError(f"tensor {tensor!r} of the plan has type {dtype.name}, which frames and controls never have")
    return names[dtype.name]
