"""`v4l2:N[?width=…&height=…&fps=…]`: a USB or built-in camera of a Linux machine, /dev/videoN."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from urllib.parse import parse_qsl

import cv2

from runtime.errors import SourceError
from runtime.manifest import ImagePort
from runtime.sources.pixels import with_channels
from runtime.sources.source import Shot

_SETTINGS = {
    "width": cv2.CAP_PROP_FRAME_WIDTH,
    "height": cv2.CAP_PROP_FRAME_HEIGHT,
    "fps": cv2.CAP_PROP_FPS,
}


class V4l2Source:
    """Waits in `grab`, so the capture time is the moment the driver hands the frame over."""

    live = True

    def __init__(self, device: Path, settings: dict[str, float], port: ImagePort) -> None:
        self._device = device
        self._channels = port.channels
        self._camera = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
        if not self._camera.isOpened():
            raise SourceError(f"cannot open {device}: in use, no permission (group video) or no camera")
        self._camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        for name, value in settings.items():
            self._camera.set(_SETTINGS[name], value)

    def read(self) -> Shot:
        if not self._camera.grab():
            raise SourceError(f"camera {self._device} was lost")
        captured = monotonic()
        done, picture = self._camera.retrieve()
        if not done:
            raise SourceError(f"camera {self._device} gave a frame that cannot be decoded")
        return Shot(with_channels(picture, self._channels), captured, captured)

    def close(self) -> None:
        self._camera.release()


def open_v4l2(rest: str, port: ImagePort) -> V4l2Source:
    """Open the camera that follows `v4l2:`. Raises SourceError when it is absent or busy."""
    number, _, query = rest.partition("?")
    if not number.isdecimal():
        raise SourceError(f"'v4l2:{rest}' is not v4l2:N[?width=W&height=H&fps=F]")
    device = Path(f"/dev/video{number}")
    if not device.exists():
        found = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video[0-9]*"))
        raise SourceError(f"there is no camera {number} ({device}); found: {', '.join(found) or 'none'}")
    if port.dtype != "uint8":
        raise SourceError(f"camera {number} gives 8-bit pixels, the engine takes {port.dtype}")
    return V4l2Source(device, _settings(query, rest), port)


def _settings(query: str, rest: str) -> dict[str, float]:
    try:
        settings = {name: float(value) for name, value in parse_qsl(query, strict_parsing=bool(query))}
    except ValueError as error:
        raise SourceError(f"'v4l2:{rest}': {error}") from error
    if unknown := settings.keys() - _SETTINGS.keys():
        raise SourceError(f"a camera has no setting {min(unknown)!r}; there are {', '.join(_SETTINGS)}")
    return settings
