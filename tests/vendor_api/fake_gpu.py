"""A GPU made of host memory, and cuda-bindings over it, with only the names that the record holds.

Copies and kernels queued on a stream run when something waits for them, so a missing wait gives wrong pictures; a copy
from memory that is not page-locked, a call from another thread and a use after free fail loudly.
"""

from __future__ import annotations

import ctypes
import enum
import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent


def facts(record: str) -> dict[str, Any]:
    """What `record.py` wrote about the real library."""
    read: dict[str, Any] = json.loads((HERE / f"{record}.json").read_text(encoding="utf-8"))
    return read


class CaptureError(Exception):
    """Something that a CUDA graph cannot hold."""


class FakeGpu:
    """Memory by address, streams as queues of work, and counts of what happened."""

    def __init__(self, capability: tuple[int, int] = (8, 6), driver: bool = True) -> None:
        self.capability = capability
        self.driver = driver
        self.fail: set[str] = set()  # names of CUDA functions that report an error
        self.device: dict[int, Any] = {}
        self.pinned: dict[int, int] = {}  # address → bytes
        self.streams: dict[int, deque[Callable[[], None]]] = {}
        self.capturing: dict[int, list[Callable[[], None]]] = {}
        self.launches = 0  # of graphs
        self.thread = get_ident()
        self._next = 0x100

    def number(self) -> int:
        """A new handle."""
        self._next += 1
        return self._next

    def check_thread(self) -> None:
        assert get_ident() == self.thread, "CUDA was called from a thread that does not own the context"

    def malloc(self, nbytes: int) -> int:
        memory = (ctypes.c_uint8 * (nbytes + 256))()
        address = (ctypes.addressof(memory) + 255) // 256 * 256
        self.device[address] = (memory, nbytes)
        return address

    def queue(self, stream: int, work: Callable[[], None]) -> None:
        self.check_thread()
        self.capturing.get(stream, self.streams[stream]).append(work)

    def run(self, stream: int, until: int | None = None) -> None:
        """Do what is queued, or its first `until` items."""
        self.check_thread()
        assert stream not in self.capturing, "waiting for a stream while it is captured"
        work = self.streams[stream]
        for _ in range(len(work) if until is None else until):
            work.popleft()()

    def copy(self, stream: int, target: int, source: int, nbytes: int, *, host: int, device: int) -> None:
        assert self.device[device][1] >= nbytes, "copy beyond the device memory"
        assert self.pinned.get(host, 0) >= nbytes, "an asynchronous copy needs page-locked memory"
        self.queue(stream, lambda: ctypes.memmove(target, source, nbytes) and None)


def bindings_modules(gpu: FakeGpu) -> dict[str, ModuleType]:
    """`cuda.bindings.runtime` over `gpu`, as the entries of sys.modules."""
    known = facts("cuda-bindings")
    runtime = ModuleType("cuda.bindings.runtime")
    for name, members in known["enums"].items():
        setattr(runtime, name, enum.IntEnum(name, members))
    for name, value in known["constants"].items():
        setattr(runtime, name, value)
    behaviour = _Bindings(gpu, runtime)
    for name, parameters in known["functions"].items():
        setattr(runtime, name, behaviour.checked(name, parameters))
    package, bindings = ModuleType("cuda"), ModuleType("cuda.bindings")
    bindings.__version__, bindings.runtime, package.bindings = known["version"], runtime, bindings
    return {"cuda": package, "cuda.bindings": bindings, "cuda.bindings.runtime": runtime}


class _Bindings:
    """The CUDA runtime: every function returns (error, values…)."""

    def __init__(self, gpu: FakeGpu, runtime: Any) -> None:
        self.gpu, self.runtime = gpu, runtime
        self.events: dict[int, tuple[int, int]] = {}  # handle → stream and how much of its queue precedes
        self.graphs: dict[int, list[Callable[[], None]]] = {}

    def checked(self, name: str, parameters: list[str]) -> Callable[..., tuple[Any, ...]]:
        def call(*arguments: Any) -> tuple[Any, ...]:
            assert len(arguments) == len(parameters), f"{name} takes {parameters}, was given {arguments}"
            self.gpu.check_thread()
            error = self.runtime.cudaError_t
            if not self.gpu.driver:
                return (error.cudaErrorInsufficientDriver, None)
            if name in self.gpu.fail:
                return (error.cudaErrorMemoryAllocation, None)
            try:
                value = getattr(self, name)(*arguments)
            except CaptureError:
                return (error.cudaErrorStreamCaptureInvalidated, None)
            return (error.cudaSuccess,) if value is None else (error.cudaSuccess, value)

        call.__name__ = name
        return call

    def cudaSetDevice(self, device: int) -> None:
        assert device == 0

    def cudaDeviceGetAttribute(self, attribute: Any, device: int) -> int:
        return self.gpu.capability["Minor" in attribute.name]

    def cudaStreamCreateWithFlags(self, flags: int) -> int:
        handle = self.gpu.number()
        self.gpu.streams[handle] = deque()
        return handle

    def cudaStreamDestroy(self, stream: int) -> None:
        assert not self.gpu.streams.pop(stream), "the stream still has work"

    def cudaStreamSynchronize(self, stream: int) -> None:
        self.gpu.run(stream)

    def cudaEventCreateWithFlags(self, flags: int) -> int:
        assert flags == self.runtime.cudaEventBlockingSync | self.runtime.cudaEventDisableTiming
        return self.gpu.number()

    def cudaEventRecord(self, event: int, stream: int) -> None:
        self.events[event] = (stream, len(self.gpu.streams[stream]))

    def cudaEventSynchronize(self, event: int) -> None:
        stream, count = self.events.pop(event)
        self.gpu.run(stream, count)

    def cudaEventDestroy(self, event: int) -> None:
        self.events.pop(event, None)

    def cudaHostAlloc(self, size: int, flags: int) -> int:
        address = self.gpu.malloc(size)
        self.gpu.pinned[address] = size
        return address

    def cudaFreeHost(self, pointer: int) -> None:
        del self.gpu.pinned[pointer]
        del self.gpu.device[pointer]

    def cudaMalloc(self, size: int) -> int:
        return self.gpu.malloc(size)

    def cudaFree(self, pointer: int) -> None:
        del self.gpu.device[pointer]

    def cudaMemcpyAsync(self, target: int, source: int, count: int, kind: Any, stream: int) -> None:
        up = kind == self.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        assert up or kind == self.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        host, device = (source, target) if up else (target, source)
        self.gpu.copy(stream, target, source, count, host=host, device=device)

    def cudaStreamBeginCapture(self, stream: int, mode: Any) -> None:
        assert not self.gpu.streams[stream], "work is still queued"
        self.gpu.capturing[stream] = []

    def cudaStreamEndCapture(self, stream: int) -> int:
        work = self.gpu.capturing.pop(stream)
        graph = self.gpu.number()
        self.graphs[graph] = work
        return graph

    def cudaGraphInstantiate(self, graph: int, flags: int) -> int:
        executable = self.gpu.number()
        self.graphs[executable] = self.graphs[graph]
        return executable

    def cudaGraphDestroy(self, graph: int) -> None:
        del self.graphs[graph]

    def cudaGraphExecDestroy(self, graph: int) -> None:
        del self.graphs[graph]

    def cudaGraphLaunch(self, graph: int, stream: int) -> None:
        self.gpu.launches += 1
        for work in self.graphs[graph]:
            self.gpu.queue(stream, work)
