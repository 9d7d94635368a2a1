"""Between C and the runtime: structs and pointers become arrays, exceptions become status codes and a text.

Handles are numbers that are never used twice, so a closed engine is recognised for ever.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from runtime.capi.session import DEFAULT_QUEUE, BusyError, Choices, ClosedError, Session
from runtime.controls import describe
from runtime.engine_worker import LateError
from runtime.errors import ControlError, EngineError, FrameError, InlocoError, ManifestError
from runtime.frames import Array
from runtime.manifest import Control, ImagePort

_LARGEST_STRIDE = 1 << 32  # bytes; more is a mistake
_BUFFERS = 64  # remembered by each port


class ArgumentError(InlocoError):
    """An index that does not exist."""


_STATUS: dict[type[BaseException], str] = {
    ArgumentError: "INLOCO_ARGUMENT",
    ClosedError: "INLOCO_CLOSED",
    ManifestError: "INLOCO_MANIFEST",
    EngineError: "INLOCO_ENGINE",
    FrameError: "INLOCO_FRAME",
    ControlError: "INLOCO_CONTROL",
    LateError: "INLOCO_LATE",
    BusyError: "INLOCO_BUSY",
    KeyboardInterrupt: "INLOCO_INTERRUPTED",
}


def attach(ffi: Any, lib: Any) -> None:
    """Stand behind the functions of calls.h. `ffi` and `lib` are those of the compiled library."""
    bridge = Bridge(ffi, lib)
    functions = (
        bridge.open, bridge.close, bridge.describe, bridge.describe_output, bridge.describe_control,
        bridge.set_control, bridge.set_values, bridge.stats, bridge.translate, bridge.translate_async,
    )  # fmt: skip
    for function in functions:
        name = f"capi_{function.__name__}"
        ffi.def_extern(name=name, error=1 + lib.INLOCO_INTERNAL, onerror=bridge.on_error)(bridge.guarded(function))


class _Pixels:
    """The caller's memory as arrays, checked against one port of the engine.

    Callers use the same few buffers again and again, so the array of an inloco_image is kept by the very bytes of that
    struct: equal bytes were checked before. The memory itself is never kept.
    """

    def __init__(self, ffi: Any, port: ImagePort) -> None:
        self._ffi = ffi
        self._port = port
        self._known: dict[bytes, Array] = {}

    def view(self, image: Any) -> Array:
        """An (H, W, C) view. Raises FrameError where the image is not what the port takes."""
        key = self._ffi.buffer(image)[:]
        view = self._known.get(key)
        if view is None:
            if len(self._known) >= _BUFFERS:
                self._known.clear()
            view = self._known[key] = self._checked(image)
        return view

    def _checked(self, image: Any) -> Array:
        port = self._port
        depth = 2 if port.dtype == "uint16" else 1
        given = (image.height, image.width, image.channels, image.bits)
        wanted = (*port.shape, 8 * depth)
        if given != wanted:
            raise FrameError(f"`{port.name}` is {_size(given)}, the engine has {_size(wanted)}: resize it first")
        if not image.data:
            raise FrameError(f"`{port.name}` has no pixels: its `data` is NULL")
        row = port.width * port.channels * depth
        stride = image.row_stride or row
        if not row <= stride < _LARGEST_STRIDE:
            raise FrameError(f"`{port.name}` has a row_stride of {stride} bytes, and its rows have {row}")
        memory = self._ffi.buffer(image.data, stride * (port.height - 1) + row)
        return np.ndarray(port.shape, port.dtype, memory, 0, (stride, port.channels * depth, depth))


class _Opened:
    """A session, and what its C handle needs besides: views of pixels, and the texts that C has pointers to."""

    def __init__(self, ffi: Any, session: Session) -> None:
        self.session = session
        self.frame = _Pixels(ffi, session.manifest.frame) if session.manifest.frame else None
        self.translated = [_Pixels(ffi, port) for port in session.manifest.translated]
        self._ffi = ffi
        self._texts: dict[str, Any] = {}

    def text(self, value: str) -> Any:
        """A char * that lives as long as this."""
        if value not in self._texts:
            self._texts[value] = self._ffi.new("char[]", value.encode())
        return self._texts[value]


class Bridge:
    """One method for each function of calls.h."""

    def __init__(self, ffi: Any, lib: Any) -> None:
        self._ffi, self._lib = ffi, lib
        self._handles = count(1)
        self._opened: dict[int, _Opened] = {}

    def guarded(self, function: Callable[..., None]) -> Callable[..., int]:
        """The function with 1 + its status for a result; nothing is raised into C."""

        def call(*arguments: Any) -> int:
            try:
                function(*arguments)
            except BaseException as error:
                return 1 + self._status_of(error)
            return 1

        return call

    def on_error(self, kind: Any, error: BaseException, traceback: Any) -> int:
        """For what is raised outside `guarded`, such as a second Ctrl-C inside its except clause."""
        return 1 + self._status_of(error)

    def open(self, path: Any, options: Any, handle: Any) -> None:
        """Open an engine and write its handle."""
        backend = self._text(options.backend) if options.backend else None
        choices = Choices(backend, bool(options.own_thread), options.queue or DEFAULT_QUEUE)
        session = Session(Path(os.fsdecode(self._ffi.string(path))), choices)
        number = next(self._handles)
        self._opened[number] = _Opened(self._ffi, session)
        handle[0] = number

    def close(self, handle: int) -> None:
        """Forget the handle, then free the engine."""
        self._find(handle).session.close()
        self._opened.pop(handle, None)

    def describe(self, handle: int, about: Any) -> None:
        """Fill an inloco_description."""
        opened = self._find(handle)
        manifest = opened.session.manifest
        about.controls, about.outputs = len(manifest.controls), len(manifest.translated)
        about.own_thread = opened.session.own_thread
        if manifest.frame:
            self._fill_size(about.frame, manifest.frame)
        if manifest.translated:
            self._fill_size(about.translated, manifest.translated[0])
        about.system, about.task = opened.text(manifest.system), opened.text(manifest.task)
        about.precision, about.backend = opened.text(manifest.precision), opened.text(opened.session.backend)

    def describe_output(self, handle: int, index: int, size: Any) -> None:
        """Fill an inloco_image without pixels."""
        ports = self._find(handle).session.manifest.translated
        if index >= len(ports):
            raise ArgumentError(f"there is no output {index}; the engine has {len(ports)}")
        self._fill_size(size, ports[index])

    def describe_control(self, handle: int, index: int, about: Any) -> None:
        """Fill an inloco_control."""
        opened = self._find(handle)
        controls = opened.session.manifest.controls
        if index >= len(controls):
            raise ArgumentError(f"there is no control {index}; the engine has {len(controls)}")
        control = controls[index]
        about.count = _count_of(control)
        about.low = -math.inf if control.low is None else control.low
        about.high = math.inf if control.high is None else control.high
        about.name, about.kind = opened.text(control.name), opened.text(control.kind)
        about.classes, about.allowed = opened.text(",".join(control.names)), opened.text(describe([control]))

    def set_control(self, handle: int, name: Any, text: Any) -> None:
        """Set a control as on the command line."""
        self._find(handle).session.set_control(self._text(name), self._text(text))

    def set_values(self, handle: int, name: Any, values: Any, count: int) -> None:
        """Set a control from memory."""
        array = np.frombuffer(self._ffi.buffer(values, 4 * count), np.float32)
        self._find(handle).session.set_values(self._text(name), array)

    def stats(self, handle: int, stats: Any) -> None:
        """Fill an inloco_stats."""
        session = self._find(handle).session
        latency = session.latency.summary()
        stats.waiting, stats.late, stats.failed = session.waiting, session.late, session.failed
        stats.translated = session.latency.count
        for name in ("mean", "min", "p50", "p90", "p99", "max"):
            setattr(stats, f"{name}_ms", latency[name])

    def translate(self, handle: int, frame: Any, translated: Any, deadline_ms: int) -> None:
        """Translate in the caller's buffers."""
        opened = self._find(handle)
        opened.session.translate(self._frame(opened, frame), self._pictures(opened, translated), deadline_ms)

    def translate_async(self, handle: int, frame: Any, translated: Any, done: Any, user_data: Any) -> None:
        """Queue a translation in the caller's buffers."""
        opened = self._find(handle)
        finish = partial(self._finish, done, user_data)
        opened.session.translate_async(self._frame(opened, frame), self._pictures(opened, translated), finish)

    def _finish(self, done: Any, user_data: Any, error: BaseException | None) -> None:
        done(0 if error is None else self._status_of(error), user_data)

    def _find(self, handle: int) -> _Opened:
        opened = self._opened.get(handle)
        if opened is None:
            raise ClosedError("this is not an open engine: it was closed, or never opened")
        return opened

    def _frame(self, opened: _Opened, image: Any) -> Array | None:
        """The caller's frame, without a copy where its rows are not padded."""
        if opened.frame is None:
            if image:
                raise FrameError("this engine takes no frame: pass NULL")
            return None
        if not image:
            raise FrameError("`frame` is NULL, and this engine takes one")
        frame = opened.frame.view(image)
        return frame if frame.flags.carray else frame.copy()

    def _pictures(self, opened: _Opened, images: Any) -> list[Array]:
        return [pixels.view(images + i) for i, pixels in enumerate(opened.translated)]

    def _fill_size(self, image: Any, port: ImagePort) -> None:
        image.data, image.row_stride = self._ffi.NULL, 0
        image.height, image.width, image.channels = port.shape
        image.bits = 16 if port.dtype == "uint16" else 8

    def _text(self, pointer: Any) -> str:
        return str(self._ffi.string(pointer).decode(errors="replace"))

    def _status_of(self, error: BaseException) -> int:
        """The status of an error, whose text becomes this thread's last error."""
        name = _STATUS.get(type(error), "INLOCO_INTERNAL")
        text = str(error) if isinstance(error, InlocoError) else f"{type(error).__name__}: {error}"
        self._lib.capi_remember(text.encode(errors="replace"))
        return int(getattr(self._lib, name))


def _count_of(control: Control) -> int:
    return math.prod(control.shape)


def _size(size: tuple[int, ...]) -> str:
    height, width, channels, bits = size
    return f"{height}x{width}x{channels} of {bits} bits"
