"""pycuda over the GPU of `fake_gpu`, with only the names and arguments that its record holds."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.vendor_api.fake_gpu import FakeGpu, facts


def pycuda_modules(gpu: FakeGpu) -> dict[str, ModuleType]:
    """`pycuda.driver` over `gpu`, as the entries of sys.modules."""
    known = facts("pycuda")
    package, driver = ModuleType("pycuda"), ModuleType("pycuda.driver")
    behaviour = _Pycuda(gpu)
    for name, signature in known["functions"].items():
        setattr(driver, name, behaviour.checked(signature, getattr(behaviour, name, None)))
    for name, members in known["classes"].items():
        setattr(driver, name, behaviour.make_class(name, members))
    driver.Error = PycudaError
    driver.event_flags = SimpleNamespace(**known["event_flags"])
    package.VERSION_TEXT, package.driver = known["version"], driver
    return {"pycuda": package, "pycuda.driver": driver}


class PycudaError(Exception):
    """pycuda.driver.Error."""


class _Pycuda:
    """The CUDA driver through pycuda: objects with methods, and exceptions."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.current: list[Any] = []  # the context stack of the owner thread

    def checked(self, signature: str, work: Callable[..., Any] | None) -> Callable[..., Any]:
        """`work`, refusing another number of arguments than Boost.Python's signature has."""
        inside = signature.split(") ->")[0].partition("(")[2]
        required, _, optional = inside.partition("[")
        least = len(re.findall(r"\(\w+\)", required))
        most = least + len(re.findall(r"\(\w+\)", optional))

        def call(*arguments: Any) -> Any:
            assert work is not None, f"the fake does not model {signature}"
            assert least <= len(arguments) <= most, f"{signature} was given {arguments}"
            name = signature.partition("(")[0]
            if not self.gpu.driver:
                raise PycudaError(f"{name} failed: no CUDA-capable device is detected")
            if name in self.gpu.fail:
                raise PycudaError(f"{name} failed: out of memory")
            self.gpu.check_thread()
            assert name in ("init", "__init__", "push", "retain_primary_context") or self.current or "Device" in inside
            return work(*arguments)

        return call

    def make_class(self, name: str, members: dict[str, str]) -> type:
        body: dict[str, Any] = {}
        for member, signature in members.items():
            work = getattr(self, f"{name}_{member.strip('_')}", None)
            if signature == "read":
                body[member] = property(work)
            elif " " in signature and "(" in signature:
                call = self.checked(signature, work)
                first = re.search(r"\((\w+)\)(self|arg1)", signature)
                body[member] = call if first else staticmethod(call)
        return type(name, (), {key: self._method(value) for key, value in body.items()})

    @staticmethod
    def _method(value: Any) -> Any:
        if isinstance(value, property | staticmethod):
            return value
        return lambda this, *arguments: value(this, *arguments)

    def init(self) -> None:
        """cuInit."""

    def mem_alloc(self, nbytes: int) -> Any:
        return _Allocation(self.gpu, self.gpu.malloc(nbytes))

    def pagelocked_empty(self, shape: Any, dtype: str) -> Any:
        return np.asarray(_PageLocked(self.gpu, shape, dtype))  # whose `base` is the allocation

    def memcpy_htod_async(self, target: int, source: Any, stream: Any) -> None:
        address = source.ctypes.data
        self.gpu.copy(stream.number, target, address, source.nbytes, host=address, device=target)

    def memcpy_dtoh_async(self, target: Any, source: int, stream: Any) -> None:
        address = target.ctypes.data
        self.gpu.copy(stream.number, address, source, target.nbytes, host=address, device=source)

    def Device_init(self, this: Any, index: int) -> None:
        assert index == 0

    def Device_compute_capability(self, this: Any) -> tuple[int, int]:
        return self.gpu.capability

    def Device_retain_primary_context(self, this: Any) -> Any:
        cls = this.__class__
        context = SimpleNamespace(owner=cls)
        context.push = lambda: self.current.append(context)
        context.detach = lambda: self._detach(context)
        return context

    def _detach(self, context: Any) -> None:
        assert context not in self.current, "a context is popped before it is let go"

    def Context_pop(self) -> None:
        self.current.pop()

    def Stream_init(self, this: Any, flags: int = 0) -> None:
        this.number = self.gpu.number()
        self.gpu.streams[this.number] = deque()

    def Stream_handle(self, this: Any) -> int:
        return int(this.number)

    def Stream_synchronize(self, this: Any) -> None:
        self.gpu.run(this.number)

    def Event_init(self, this: Any, flags: int = 0) -> None:
        assert flags == 3, "a blocking event without timing"

    def Event_record(self, this: Any, stream: Any = None) -> Any:
        this.place = (stream.number, len(self.gpu.streams[stream.number]))
        return this

    def Event_synchronize(self, this: Any) -> Any:
        self.gpu.run(*this.place)
        return this


class _PageLocked:
    """pycuda.driver.PagelockedHostAllocation."""

    def __init__(self, gpu: FakeGpu, shape: tuple[int, ...], dtype: str) -> None:
        self.gpu = gpu
        self.memory = np.empty(shape, dtype)
        self.__array_interface__ = self.memory.__array_interface__
        gpu.pinned[self.memory.ctypes.data] = self.memory.nbytes

    def free(self) -> None:
        del self.gpu.pinned[self.memory.ctypes.data]


class _Allocation:
    """pycuda.driver.DeviceAllocation."""

    def __init__(self, gpu: FakeGpu, address: int) -> None:
        self.gpu, self.address = gpu, address

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        del self.gpu.device[self.address]
