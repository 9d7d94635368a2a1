"""`gst:<pipeline>`: whatever GStreamer can read, above all the CSI cameras of a Jetson.

    gst:videotestsrc is-live=true
    gst:nvarguscamerasrc ! video/x-raw(memory:NVMM),width=1280,height=720 ! nvvidconv ! video/x-raw,format=BGRx

The pipeline is written as for gst-launch-1.0, without a sink: the conversion to the engine's pixels and an appsink that
keeps the newest frame only are added behind it. Its end is a loss, as of any camera.
"""

from __future__ import annotations

import ctypes
from time import monotonic

import numpy as np

from runtime.errors import SourceError
from runtime.frames import Frame
from runtime.manifest import ImagePort
from runtime.sources.glib import Failure
from runtime.sources.gstreamer_library import GLIB, GST, GST_APP, Map
from runtime.sources.pixels import with_channels
from runtime.sources.source import Shot

# Type of a frame → what GStreamer is asked for. Its own gray of a YUV picture would keep white at 235.
_ASKED = {"uint8": ("BGR", 3), "uint16": ("GRAY16_LE", 1)}
_TAIL = (
    " ! videoconvert ! video/x-raw,format={format}"
    " ! appsink name={name} sync=false max-buffers=1 drop=true enable-last-sample=false"
)
_NAME = "inloco_sink"
_NULL, _PAUSED, _PLAYING = 1, 3, 4  # GstState
_FAILED, _NO_PREROLL = 0, 3  # GstStateChangeReturn; a live pipeline has no preroll
_ERROR = 2  # GstMessageType
_READ = 1  # GstMapFlags
_SECOND = 1_000_000_000  # GstClockTime is in nanoseconds
_NO_TIME = 2**64 - 1
_OPEN_S, _SILENT_S = 10, 10


class GStreamerSource:
    """A pipeline in GStreamer's own threads; a frame's capture time is its time stamp where the pipeline is live."""

    live = True

    def __init__(self, description: str, port: ImagePort) -> None:
        if (port.channels, port.dtype) == (3, "uint16"):
            raise SourceError("gst: gives 16-bit pixels in gray only; use an 8-bit engine")
        self._dtype, self._channels = np.dtype(port.dtype), port.channels
        name, self._samples = _ASKED[port.dtype]
        self._pipeline: int | None = _parse(description, name)
        self._sink = GST.gst_bin_get_by_name(self._pipeline, _NAME.encode())
        try:
            self._play()
        except SourceError:
            self.close()
            raise

    def _play(self) -> None:
        # The system's clock is CLOCK_MONOTONIC, and so is time.monotonic(): time stamps mean something here.
        clock = GST.gst_system_clock_obtain()
        GST.gst_pipeline_use_clock(self._pipeline, clock)
        GST.gst_object_unref(clock)
        self._is_timed = self._change(_PAUSED) == _NO_PREROLL
        self._change(_PLAYING)
        self._base = GST.gst_element_get_base_time(self._pipeline)

    def _change(self, state: int) -> int:
        change = int(GST.gst_element_set_state(self._pipeline, state))
        if change != _FAILED:
            change = GST.gst_element_get_state(self._pipeline, None, None, _OPEN_S * _SECOND)
        if change == _FAILED:
            raise SourceError(f"gst: cannot start: {self._reason()}")
        return change

    def read(self) -> Shot:
        sample = GST_APP.gst_app_sink_try_pull_sample(self._sink, _SILENT_S * _SECOND)
        if sample is None:
            ended = "has ended" if GST_APP.gst_app_sink_is_eos(self._sink) else f"was silent for {_SILENT_S} s"
            raise SourceError(f"gst: was lost: {self._reason() or ended}")
        try:
            buffer = GST.gst_sample_get_buffer(sample)
            captured = self._captured(buffer.contents.pts)
            return Shot(self._frame(sample, buffer), captured, captured)
        finally:
            GST.gst_mini_object_unref(sample)

    def _captured(self, pts: int) -> float:
        now = monotonic()
        if not self._is_timed or pts == _NO_TIME:
            return now
        return float(min(now, (self._base + pts) / _SECOND))

    def _frame(self, sample: int, buffer: object) -> Frame:
        structure = GST.gst_caps_get_structure(GST.gst_sample_get_caps(sample), 0)
        sizes = {}
        for name in ("height", "width"):
            size = ctypes.c_int()
            GST.gst_structure_get_int(structure, name.encode(), ctypes.byref(size))
            sizes[name] = size.value
        data = Map()
        if not GST.gst_buffer_map(buffer, ctypes.byref(data), _READ):
            raise SourceError("gst: gave a frame that cannot be read; let it end in video/x-raw of the main memory")
        try:
            raw = np.frombuffer(ctypes.string_at(data.data, data.size), np.uint8)
        finally:
            GST.gst_buffer_unmap(buffer, ctypes.byref(data))
        row = sizes["width"] * self._samples * self._dtype.itemsize
        # Rows begin at multiples of four bytes; what is between them is dropped.
        rows = raw.reshape(sizes["height"], -1)[:, :row]
        pixels = np.ascontiguousarray(rows).view(self._dtype).reshape(*sizes.values(), self._samples)
        return with_channels(pixels, self._channels)

    def _reason(self) -> str:
        """GStreamer's words for the first error; empty when there was none."""
        bus = GST.gst_element_get_bus(self._pipeline)
        message = GST.gst_bus_timed_pop_filtered(bus, 0, _ERROR)
        GST.gst_object_unref(bus)
        if message is None:
            return ""
        failure, details = Failure(), ctypes.c_void_p()
        GST.gst_message_parse_error(message, failure.place, ctypes.byref(details))
        GST.gst_mini_object_unref(message)
        GLIB.g_free(details)
        return failure.message()

    def close(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            GST.gst_element_set_state(pipeline, _NULL)
            GST.gst_object_unref(self._sink)
            GST.gst_object_unref(pipeline)


def _parse(description: str, pixels: str) -> int:
    failure = Failure()
    if not GST.gst_init_check(None, None, failure.place):
        raise SourceError(f"gst: GStreamer does not start: {failure.message()}")
    text = description.strip() + _TAIL.format(format=pixels, name=_NAME)
    pipeline = GST.gst_parse_launch(text.encode(), failure.place)
    if message := failure.message():
        if pipeline is not None:
            GST.gst_object_unref(pipeline)
        raise SourceError(f"gst: {message}; try the pipeline with gst-launch-1.0 first")
    return int(pipeline)


def open_gstreamer(rest: str, port: ImagePort) -> GStreamerSource:
    """Start the pipeline that follows `gst:`. Raises SourceError when GStreamer refuses it."""
    if "appsink" in rest:
        raise SourceError("gst: a pipeline without its sink is wanted; the appsink is added behind it")
    return GStreamerSource(rest, port)
