"""`aravis:[ID][?option=value&…]`: an industrial camera, GigE Vision or USB3 Vision, through Aravis.

    aravis:                                         the first that is found
    aravis:10.0.0.9                                 by address, serial number or "vendor-model-serial"
    aravis:10.0.0.9?exposure=8000&gain=6            microseconds, dB
    …?format=Mono12&width=1280&height=720&fps=30    as the camera names them
    …?trigger=Line1                                 a frame for each pulse; trigger=Software: as fast as they are taken
"""

from __future__ import annotations

import ctypes
import time
from contextlib import suppress
from urllib.parse import parse_qsl, unquote

from runtime.errors import SourceError
from runtime.manifest import ImagePort
from runtime.sources.aravis_library import ARAVIS, GLIB, ask, pixel_formats
from runtime.sources.pixels import to_frame
from runtime.sources.source import Shot

_OPTIONS = ("exposure", "gain", "format", "trigger", "width", "height", "fps")
_BUFFERS = 6
_ASK_AFTER_US = 500_000  # of silence the camera is asked whether it is there
_FIRST_S = 10.0  # for the first frame
_SILENT_S, _SILENT = 1.0, 5  # seconds, or times the gap between the last two frames: it is lost
_SUCCESS = 0  # ARV_BUFFER_STATUS_SUCCESS


class AravisSource:
    """Takes the newest whole frame; what was older, or lost a packet on its way, shows as a gap in the numbers."""

    live = True

    def __init__(self, device: str, options: dict[str, str], port: ImagePort) -> None:
        self._name, self._port = f"aravis:{device}", port
        self._trigger = options.get("trigger", "")
        self.is_triggered = self._trigger not in ("", "Software")
        self._patience_s = _FIRST_S
        self._last: float | None = None  # when a frame came
        self._stream: int | None = None
        self._camera: int | None = self._ask("camera_new", device.encode() or None)
        try:
            self._set(options)
            self._start()
        except SourceError:
            self.close()
            raise

    def _ask(self, name: str, *arguments: object) -> int | None:
        try:
            return ask(name, *arguments)  # type: ignore[no-any-return]
        except SourceError as error:
            raise SourceError(f"camera {self._name}: {error}") from error

    def _set(self, options: dict[str, str]) -> None:
        camera = self._camera
        assert camera is not None
        if "format" in options:
            offered = pixel_formats(camera)
            if options["format"] not in offered:
                raise SourceError(
                    f"camera {self._name} has no format {options['format']}; there are {', '.join(offered)}"
                )
            self._ask("camera_set_pixel_format_from_string", camera, options["format"].encode())
        if "width" in options or "height" in options:
            size = [int(options.get(name, -1)) for name in ("width", "height")]  # -1: as it is
            self._ask("camera_set_region", camera, -1, -1, *size)
        setters = {"fps": "frame_rate", "exposure": "exposure_time", "gain": "gain"}
        self._ask("camera_clear_triggers", camera)
        for option in setters.keys() & options.keys():
            self._ask(f"camera_set_{setters[option]}", camera, float(options[option]))
        if self._trigger:
            self._ask("camera_set_trigger", camera, self._trigger.encode())

    def _start(self) -> None:
        self._stream = self._ask("camera_create_stream", self._camera, None, None)
        payload = self._ask("camera_get_payload", self._camera)
        for _ in range(_BUFFERS):
            ARAVIS.arv_stream_push_buffer(self._stream, ARAVIS.arv_buffer_new(payload, None))
        self._ask("camera_start_acquisition", self._camera)

    def read(self) -> Shot:
        begun = time.monotonic()
        while True:
            if self._trigger == "Software":
                self._ask("camera_software_trigger", self._camera)
            buffer = ARAVIS.arv_stream_timeout_pop_buffer(self._stream, _ASK_AFTER_US)
            if buffer is None:
                self._check(time.monotonic() - begun)
                continue
            while newer := ARAVIS.arv_stream_try_pop_buffer(self._stream):
                ARAVIS.arv_stream_push_buffer(self._stream, buffer)
                buffer = newer
            try:
                if ARAVIS.arv_buffer_get_status(buffer) == _SUCCESS:
                    return self._shot(buffer)
            finally:
                ARAVIS.arv_stream_push_buffer(self._stream, buffer)

    def _check(self, silent_s: float) -> None:
        """Raise SourceError when a silent camera is lost: another one in its place answers, but does not know us."""
        if not self.is_triggered:
            if silent_s > self._patience_s:
                raise SourceError(
                    f"camera {self._name} sent no frame for {silent_s:.1f} s; is it waiting for a trigger?"
                )
        elif ARAVIS.arv_camera_is_gv_device(self._camera):
            if not ARAVIS.arv_gv_device_is_controller(ARAVIS.arv_camera_get_device(self._camera)):
                raise SourceError(f"camera {self._name} was lost: it no longer obeys")
        else:
            self._ask("camera_get_payload", self._camera)

    def _shot(self, buffer: int) -> Shot:
        now, last = time.monotonic(), self._last
        self._last = now
        if last is not None:
            self._patience_s = max(_SILENT_S, _SILENT * (now - last))
        # When its first packet arrived, by the clock of the day; monotonic time is what the pipeline counts in.
        age = (time.time_ns() - ARAVIS.arv_buffer_get_system_timestamp(buffer)) * 1e-9
        captured = time.monotonic() - max(0.0, age)
        size, padding, below = ctypes.c_size_t(), ctypes.c_int(), ctypes.c_int()
        data = ARAVIS.arv_buffer_get_data(buffer, ctypes.byref(size))
        ARAVIS.arv_buffer_get_image_padding(buffer, ctypes.byref(padding), ctypes.byref(below))
        frame = to_frame(
            ctypes.string_at(data, size.value),
            ARAVIS.arv_buffer_get_image_pixel_format(buffer),
            (ARAVIS.arv_buffer_get_image_height(buffer), ARAVIS.arv_buffer_get_image_width(buffer)),
            self._port.channels,
            self._port.dtype,
            padding.value,
        )
        return Shot(frame, captured, captured, number=ARAVIS.arv_buffer_get_frame_id(buffer))

    def close(self) -> None:
        camera, self._camera = self._camera, None
        stream, self._stream = self._stream, None
        if camera is not None:
            if stream is not None:
                with suppress(SourceError):  # it may be gone
                    ask("camera_stop_acquisition", camera)
                GLIB.g_object_unref(stream)
            GLIB.g_object_unref(camera)


def open_aravis(rest: str, port: ImagePort) -> AravisSource:
    """Open the camera that follows `aravis:`. Raises SourceError when it is absent, busy or refuses an option."""
    device, _, query = rest.partition("?")
    try:
        options = dict(parse_qsl(query, strict_parsing=bool(query)))
        for name in options.keys() - {"format", "trigger"} & set(_OPTIONS):
            float(options[name])
    except ValueError as error:
        raise SourceError(f"'aravis:{rest}': {error}") from error
    if unknown := options.keys() - set(_OPTIONS):
        raise SourceError(f"a camera of aravis: has no option {min(unknown)!r}; there are {', '.join(_OPTIONS)}")
    return AravisSource(unquote(device), options, port)
