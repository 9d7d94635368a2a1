"""GPU memory, streams and CUDA graphs through NVIDIA's cuda-bindings (the CUDA runtime API)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import cuda.bindings
import numpy as np
from cuda.bindings import runtime as cudart

from runtime.backends.cuda_memory import no_driver
from runtime.errors import EngineError
from runtime.frames import Array

_UPLOAD = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
_DOWNLOAD = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
# Other threads may allocate while this one captures.
_CAPTURE = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
_EVENT_FLAGS = cudart.cudaEventBlockingSync | cudart.cudaEventDisableTiming


def _call(function: Callable[..., tuple[Any, ...]], *arguments: Any) -> Any:
    """The value that a CUDA call gives beside its error code; raises EngineError with the error's name."""
    error, *values = function(*arguments)
    if error != cudart.cudaError_t.cudaSuccess:
        raise EngineError(f"CUDA refused {function.__name__}: {error.name}")
    return values[0] if values else None


class BindingsStream:
    """A CUDA stream and the event that marks its end."""

    def __init__(self) -> None:
        self._stream = _call(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking)
        self._event = _call(cudart.cudaEventCreateWithFlags, _EVENT_FLAGS)
        self._graphs: list[Any] = []
        self.handle = int(self._stream)

    def upload(self, device: int, host: Array) -> None:
        _call(cudart.cudaMemcpyAsync, device, host.ctypes.data, host.nbytes, _UPLOAD, self._stream)

    def download(self, host: Array, device: int) -> None:
        _call(cudart.cudaMemcpyAsync, host.ctypes.data, device, host.nbytes, _DOWNLOAD, self._stream)

    def mark(self) -> None:
        _call(cudart.cudaEventRecord, self._event, self._stream)

    def wait(self) -> None:
        _call(cudart.cudaEventSynchronize, self._event)

    def capture(self, work: Callable[[], None]) -> Callable[[], None] | None:
        _call(cudart.cudaStreamBeginCapture, self._stream, _CAPTURE)
        try:
            work()
        except EngineError:
            cudart.cudaStreamEndCapture(self._stream)  # its error is the one that `work` raised
            raise
        recorded = _call(cudart.cudaStreamEndCapture, self._stream)
        graph = _call(cudart.cudaGraphInstantiate, recorded, 0)
        _call(cudart.cudaGraphDestroy, recorded)
        self._graphs.append(graph)
        return lambda: _call(cudart.cudaGraphLaunch, graph, self._stream)

    def close(self) -> None:
        """Wait for everything queued, then free."""
        _call(cudart.cudaStreamSynchronize, self._stream)
        for graph in self._graphs:
            _call(cudart.cudaGraphExecDestroy, graph)
        _call(cudart.cudaEventDestroy, self._event)
        _call(cudart.cudaStreamDestroy, self._stream)


class BindingsCuda:
    """One GPU through the runtime API, whose context is the primary one."""

    def __init__(self, index: int) -> None:
        attribute = cudart.cudaDeviceAttr
        try:
            _call(cudart.cudaSetDevice, index)
            major = _call(cudart.cudaDeviceGetAttribute, attribute.cudaDevAttrComputeCapabilityMajor, index)
            minor = _call(cudart.cudaDeviceGetAttribute, attribute.cudaDevAttrComputeCapabilityMinor, index)
        except EngineError as error:
            raise no_driver(str(error)) from error
        self.name = f"cuda-bindings {cuda.bindings.__version__}"
        self.capability = f"sm{major}{minor}"
        self._streams: list[BindingsStream] = []
        self._pinned: list[int] = []
        self._device: list[int] = []

    def stream(self) -> BindingsStream:
        self._streams.append(BindingsStream())
        return self._streams[-1]

    def pinned(self, shape: tuple[int, ...], dtype: str) -> Array:
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._pinned.append(int(_call(cudart.cudaHostAlloc, nbytes, cudart.cudaHostAllocDefault)))
        memory = (ctypes.c_uint8 * nbytes).from_address(self._pinned[-1])
        return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def device(self, nbytes: int) -> int:
        self._device.append(int(_call(cudart.cudaMalloc, nbytes)))
        return self._device[-1]

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        for address in self._device:
            _call(cudart.cudaFree, address)
        for address in self._pinned:
            _call(cudart.cudaFreeHost, address)
        self._streams, self._device, self._pinned = [], [], []


def open_gpu(index: int) -> BindingsCuda:
    """The GPU `index`; raises EngineError where no driver answers."""
    return BindingsCuda(index)
