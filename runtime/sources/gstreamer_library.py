"""The functions of GStreamer 1.x that an appsink is read with, and nothing else of it."""

from __future__ import annotations

import ctypes
from typing import Any

from runtime.sources.glib import GLIB, INT, POINTER, SIZE, TEXT, UINT32, UINT64, load

__all__ = ["GLIB", "GST", "GST_APP", "Buffer", "Map"]


class Buffer(ctypes.Structure):
    """The public fields of GstBuffer (64-bit machines); part of the stable interface of GStreamer 1."""

    _fields_ = (
        ("mini_object", ctypes.c_byte * 64),
        ("pool", POINTER),
        ("pts", UINT64),
        ("dts", UINT64),
        ("duration", UINT64),
        ("offset", UINT64),
        ("offset_end", UINT64),
    )


class Map(ctypes.Structure):
    """GstMapInfo: the bytes of a buffer."""

    _fields_ = (
        ("memory", POINTER),
        ("flags", INT),
        ("data", POINTER),
        ("size", SIZE),
        ("maxsize", SIZE),
        ("user_data", POINTER * 4),
        ("reserved", POINTER * 4),
    )


_OUT_INT = ctypes.POINTER(INT)
GST: Any = load(
    "libgstreamer-1.0.so.0",
    {
        "gst_init_check": (INT, (POINTER, POINTER, POINTER)),
        "gst_parse_launch": (POINTER, (TEXT, POINTER)),
        "gst_bin_get_by_name": (POINTER, (POINTER, TEXT)),
        "gst_element_set_state": (INT, (POINTER, INT)),
        "gst_element_get_state": (INT, (POINTER, _OUT_INT, _OUT_INT, UINT64)),
        "gst_element_get_base_time": (UINT64, (POINTER,)),
        "gst_element_get_bus": (POINTER, (POINTER,)),
        "gst_system_clock_obtain": (POINTER, ()),
        "gst_pipeline_use_clock": (None, (POINTER, POINTER)),
        "gst_bus_timed_pop_filtered": (POINTER, (POINTER, UINT64, INT)),
        "gst_message_parse_error": (None, (POINTER, POINTER, ctypes.POINTER(POINTER))),
        "gst_mini_object_unref": (None, (POINTER,)),
        "gst_object_unref": (None, (POINTER,)),
        "gst_sample_get_buffer": (ctypes.POINTER(Buffer), (POINTER,)),
        "gst_sample_get_caps": (POINTER, (POINTER,)),
        "gst_caps_get_structure": (POINTER, (POINTER, UINT32)),
        "gst_structure_get_int": (INT, (POINTER, TEXT, _OUT_INT)),
        "gst_buffer_map": (INT, (POINTER, ctypes.POINTER(Map), INT)),
        "gst_buffer_unmap": (None, (POINTER, ctypes.POINTER(Map))),
    },
    "libgstreamer1.0-0",
)
GST_APP: Any = load(
    "libgstapp-1.0.so.0",
    {"gst_app_sink_try_pull_sample": (POINTER, (POINTER, UINT64)), "gst_app_sink_is_eos": (INT, (POINTER,))},
    "libgstreamer-plugins-base1.0-0",
)
