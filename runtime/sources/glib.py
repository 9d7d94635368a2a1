"""What Aravis and GStreamer have of GLib: libraries of the system, called through ctypes.

Their introspection modules (`gi`) belong to the system's Python, and neither a virtual environment nor JetPack's wheels
have them without a compiler; the shared libraries are there wherever the cameras work, and their C interface is stable.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from runtime.errors import SourceError

POINTER, TEXT, INT, UINT32, UINT64 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_uint64
DOUBLE, SIZE = ctypes.c_double, ctypes.c_size_t
Signature = tuple[Any, tuple[Any, ...]]  # what a function returns, what it takes


class GError(ctypes.Structure):
    """GLib's report of an error."""

    _fields_ = (("domain", UINT32), ("code", INT), ("message", TEXT))


class Failure:
    """The place of a GError: pass `failure.place` to a function, then `check`."""

    def __init__(self) -> None:
        self._error = ctypes.POINTER(GError)()
        self.place = ctypes.byref(self._error)

    def message(self) -> str:
        """What went wrong; empty when nothing did. May be asked for once."""
        if not self._error:
            return ""
        text = bytes(self._error.contents.message).decode(errors="replace")
        GLIB.g_error_free(self._error)
        self._error = ctypes.POINTER(GError)()
        self.place = ctypes.byref(self._error)
        return text


def load(file: str, signatures: Mapping[str, Signature], package: str) -> Any:
    """A shared library with its functions declared. Raises SourceError that names the Debian package it is in."""
    try:
        library = ctypes.CDLL(file)
    except OSError as error:
        raise SourceError(f"{file} is not on this machine: apt-get install {package} ({error})") from error
    for name, (returned, taken) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = returned, taken
    return library


GLIB = load(
    "libgobject-2.0.so.0",  # which brings libglib along
    {
        "g_error_free": (None, (POINTER,)),
        "g_free": (None, (POINTER,)),
        "g_object_unref": (None, (POINTER,)),
    },
    "libglib2.0-0",
)
