"""The functions of libaravis-0.8 that a camera is read with, and nothing else of it."""

from __future__ import annotations

import ctypes
from typing import Any

from runtime.errors import SourceError
from runtime.sources.glib import DOUBLE, GLIB, INT, POINTER, SIZE, TEXT, UINT32, UINT64, Failure, load

__all__ = ["ARAVIS", "GLIB", "ask", "pixel_formats"]

_OUT_INT, _OUT_SIZE = ctypes.POINTER(INT), ctypes.POINTER(SIZE)
_SIGNATURES = {
    "arv_camera_new": (POINTER, (TEXT, POINTER)),
    "arv_camera_get_device": (POINTER, (POINTER,)),
    "arv_camera_is_gv_device": (INT, (POINTER,)),
    "arv_gv_device_is_controller": (INT, (POINTER,)),
    "arv_camera_create_stream": (POINTER, (POINTER, POINTER, POINTER, POINTER)),
    "arv_camera_get_payload": (UINT32, (POINTER, POINTER)),
    "arv_camera_get_pixel_format_as_string": (TEXT, (POINTER, POINTER)),
    "arv_camera_dup_available_pixel_formats_as_strings": (
        ctypes.POINTER(TEXT),
        (POINTER, ctypes.POINTER(UINT32), POINTER),
    ),
    "arv_camera_set_pixel_format_from_string": (None, (POINTER, TEXT, POINTER)),
    "arv_camera_set_region": (None, (POINTER, INT, INT, INT, INT, POINTER)),
    "arv_camera_set_exposure_time": (None, (POINTER, DOUBLE, POINTER)),
    "arv_camera_set_gain": (None, (POINTER, DOUBLE, POINTER)),
    "arv_camera_set_frame_rate": (None, (POINTER, DOUBLE, POINTER)),
    "arv_camera_set_trigger": (None, (POINTER, TEXT, POINTER)),
    "arv_camera_clear_triggers": (None, (POINTER, POINTER)),
    "arv_camera_software_trigger": (None, (POINTER, POINTER)),
    "arv_camera_start_acquisition": (None, (POINTER, POINTER)),
    "arv_camera_stop_acquisition": (None, (POINTER, POINTER)),
    "arv_stream_push_buffer": (None, (POINTER, POINTER)),
    "arv_stream_try_pop_buffer": (POINTER, (POINTER,)),
    "arv_stream_timeout_pop_buffer": (POINTER, (POINTER, UINT64)),
    "arv_buffer_new": (POINTER, (SIZE, POINTER)),
    "arv_buffer_get_status": (INT, (POINTER,)),
    "arv_buffer_get_frame_id": (UINT64, (POINTER,)),
    "arv_buffer_get_system_timestamp": (UINT64, (POINTER,)),
    "arv_buffer_get_image_pixel_format": (UINT32, (POINTER,)),
    "arv_buffer_get_image_width": (INT, (POINTER,)),
    "arv_buffer_get_image_height": (INT, (POINTER,)),
    "arv_buffer_get_image_padding": (None, (POINTER, _OUT_INT, _OUT_INT)),
    "arv_buffer_get_data": (POINTER, (POINTER, _OUT_SIZE)),
}
ARAVIS = load("libaravis-0.8.so.0", _SIGNATURES, "libaravis-0.8-0")


def ask(name: str, *arguments: Any) -> Any:
    """Call `arv_<name>(…, GError **)`. Raises SourceError with Aravis' words."""
    failure = Failure()
    result = getattr(ARAVIS, f"arv_{name}")(*arguments, failure.place)
    if message := failure.message():
        raise SourceError(message)
    return result


def pixel_formats(camera: int) -> list[str]:
    """The names of the formats that a camera can send."""
    count = UINT32()
    names = ask("camera_dup_available_pixel_formats_as_strings", camera, ctypes.byref(count))
    return [names[index].decode() for index in range(count.value)]
