"""TensorRT 10, TensorRT 11 and TensorRT-RTX: one Python API under several module names.

Here is where they differ, for the side that runs plans and for the side that builds them (`export/tensorrt.py`):

    library = open_library("tensorrt-rtx")
    runtime = library.trt.Runtime(library.logger)
    if runtime.deserialize_cuda_engine(plan) is None:
        raise EngineError(library.reasons())
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from runtime.errors import EngineError

RTX = "tensorrt-rtx"
# Backend → modules that may carry it: the meta-package or JetPack's own, then the bare bindings.
MODULES = {
    "tensorrt": ("tensorrt", "tensorrt_bindings"),
    RTX: ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
OLDEST = (10, 3)  # JetPack 6; older ones lack the strongly typed network in the form that 11 keeps


@dataclass(frozen=True)
class Library:
    """One TensorRT and its logger. TensorRT takes one logger per process, so `open_library` makes it once."""

    backend: str  # "tensorrt" or "tensorrt-rtx"
    trt: Any  # the vendor's module
    logger: Any

    @property
    def version(self) -> str:
        """As the vendor writes it, e.g. "10.16.0.72"."""
        return str(self.trt.__version__)

    @property
    def rtx(self) -> bool:
        """TensorRT-RTX: compiles ahead of time for many GPUs, keeps CUDA graphs itself, has no DLA."""
        return self.backend == RTX

    def reasons(self) -> str:
        """TensorRT's own words since the last call, each error once; never empty."""
        errors = list(dict.fromkeys(self.logger.errors))
        self.logger.errors.clear()
        return "; ".join(errors) or "TensorRT gave no reason"

    def context(self, engine: Any) -> Any:
        """A new execution context of `engine`; TensorRT-RTX is asked to replay its work as a CUDA graph.

        Raises:
            EngineError: TensorRT has no memory for it, or another reason of its own.
        """
        if self.rtx:
            config = engine.create_runtime_config()
            config.cuda_graph_strategy = self.trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            context = engine.create_execution_context(config)
        else:
            context = engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT made no execution context: {self.reasons()}")
        return context


@lru_cache
def open_library(backend: str) -> Library:
    """Import the TensorRT of `backend`.

    Raises:
        EngineError: it is not installed, its libraries do not load, or it is older than 10.3.
    """
    failures = []
    for name in MODULES[backend]:
        try:
            trt = import_module(name)
        except ImportError as error:
            failures.append(str(error))
            continue
        version = tuple(int(part) for part in trt.__version__.split(".")[:2])
        if backend != RTX and version < OLDEST:
            raise EngineError(f"TensorRT {trt.__version__} is too old: 10.3 (JetPack 6) or newer is needed")
        return Library(backend, trt, _message_keeper(trt))
    raise EngineError(
        f"backend {backend!r} cannot be loaded ({'; '.join(failures)}): pip install 'inloco[{backend}]'; "
        "on a Jetson, use the python3-libnvinfer of its JetPack"
    )


def _message_keeper(trt: Any) -> Any:
    """The process-wide logger: prints nothing, keeps the latest errors for `Library.reasons`."""
    severe = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class MessageKeeper(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 demands the direct call
            self.errors: deque[str] = deque(maxlen=8)

        def log(self, severity: Any, msg: str) -> None:
            if severity in severe:
                self.errors.append(" ".join(msg.split()))

    return MessageKeeper()
