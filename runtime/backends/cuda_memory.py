"""Memory and streams of one GPU: a dozen calls, behind which stands NVIDIA's `cuda-bindings` or `pycuda`.

`cuda-bindings` is preferred where both are installed: it is a wheel, and it has CUDA graphs. Both use the primary
context, which TensorRT shares; it belongs to the thread that called `open_cuda`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from runtime.errors import EngineError
from runtime.frames import Array

# Modules with `open_gpu(index) -> Cuda`, best first.
LAYERS = ("runtime.backends.cuda_bindings", "runtime.backends.cuda_pycuda")


class Stream(Protocol):
    """Work that the GPU does in order, while other streams run beside it."""

    handle: int  # the cudaStream_t, for TensorRT

    def upload(self, device: int, host: Array) -> None:
        """Queue a copy of page-locked `host` to address `device`."""

    def download(self, host: Array, device: int) -> None:
        """Queue a copy from address `device` to page-locked `host`."""

    def mark(self) -> None:
        """Remember the end of what is queued now."""

    def wait(self) -> None:
        """Sleep (no busy loop) until the marked end is reached."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """Record what `work` queues as a CUDA graph; return its launch, or None where the layer has no graphs.

        Raises:
            EngineError: `work` does something that a CUDA graph cannot hold; the stream stays usable.
        """


class Cuda(Protocol):
    """One GPU and everything allocated on it."""

    name: str  # of the layer, with its version
    capability: str  # "sm86"

    def stream(self) -> Stream:
        """A new stream."""

    def pinned(self, shape: tuple[int, ...], dtype: str) -> Array:
        """A page-locked host array, so that copies run beside the computation."""

    def device(self, nbytes: int) -> int:
        """The address of new device memory."""

    def close(self) -> None:
        """Free all of it and let the context go; arrays of `pinned` must not be touched any more."""


def open_cuda(index: int = 0) -> Cuda:
    """The GPU `index`, through whichever layer is installed.

    Raises:
        EngineError: neither layer is installed, or there is no driver or no GPU.
    """
    for module in LAYERS:
        try:
            open_gpu = import_module(module).open_gpu
        except ModuleNotFoundError:
            continue
        except ImportError as error:  # pycuda links the driver's library
            raise no_driver(str(error)) from error
        cuda: Cuda = open_gpu(index)
        return cuda
    raise EngineError("a TensorRT plan needs cuda-bindings or pycuda for GPU memory: pip install cuda-bindings")


def no_driver(reason: str) -> EngineError:
    """The error of a machine that cannot run plans at all."""
    return EngineError(
        f"no NVIDIA GPU answers here ({reason}): install or update its driver, or run the .onnx engine on the CPU"
    )
