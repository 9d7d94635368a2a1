"""GPU memory and streams through pycuda (the CUDA driver API); it has no CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pycuda
import pycuda.driver as cuda  # never pycuda.autoinit: it makes a second context, bound to the importing thread

from runtime.backends.cuda_memory import no_driver
from runtime.errors import EngineError
from runtime.frames import Array

_EVENT_FLAGS = cuda.event_flags.BLOCKING_SYNC | cuda.event_flags.DISABLE_TIMING


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """The value of a CUDA call; raises EngineError in pycuda's words."""
    try:
        return function(*arguments)
    except cuda.Error as error:
        raise EngineError(f"CUDA refused: {error}") from error


class PycudaStream:
    """A CUDA stream and the event that marks its end."""

    def __init__(self) -> None:
        self._stream = _call(cuda.Stream)
        self._event = _call(cuda.Event, _EVENT_FLAGS)
        self.handle = int(self._stream.handle)

    def upload(self, device: int, host: Array) -> None:
        _call(cuda.memcpy_htod_async, device, host, self._stream)

    def download(self, host: Array, device: int) -> None:
        _call(cuda.memcpy_dtoh_async, host, device, self._stream)

    def mark(self) -> None:
        _call(self._event.record, self._stream)

    def wait(self) -> None:
        _call(self._event.synchronize)

    def capture(self, work: Callable[[], None]) -> Callable[[], None] | None:
        return None

    def close(self) -> None:
        """Wait for everything queued, then free: pycuda frees with the last reference, in the current context."""
        _call(self._stream.synchronize)
        del self._stream, self._event


class PycudaCuda:
    """One GPU through its primary context, current in the thread that opened it."""

    def __init__(self, index: int) -> None:
        try:
            _call(cuda.init)
            gpu = _call(cuda.Device, index)
            self._context = _call(gpu.retain_primary_context)
        except EngineError as error:
            raise no_driver(str(error)) from error
        _call(self._context.push)
        self.name = f"pycuda {pycuda.VERSION_TEXT}"
        self.capability = "sm{}{}".format(*gpu.compute_capability())
        self._streams: list[PycudaStream] = []
        self._memory: list[Any] = []  # page-locked and on the device

    def stream(self) -> PycudaStream:
        self._streams.append(PycudaStream())
        return self._streams[-1]

    def pinned(self, shape: tuple[int, ...], dtype: str) -> Array:
        array: Array = _call(cuda.pagelocked_empty, shape, dtype)
        self._memory.append(array.base)  # else it lives as long as its last view, and leaks after the context is gone
        return array

    def device(self, nbytes: int) -> int:
        self._memory.append(_call(cuda.mem_alloc, nbytes))
        return int(self._memory[-1])

    def close(self) -> None:
        if self._context is None:
            return
        for stream in self._streams:
            stream.close()
        for memory in self._memory:
            _call(memory.free)
        self._streams, self._memory = [], []
        cuda.Context.pop()
        self._context.detach()
        self._context = None


def open_gpu(index: int) -> PycudaCuda:
    """The GPU `index`; raises EngineError where no driver answers."""
    return PycudaCuda(index)
