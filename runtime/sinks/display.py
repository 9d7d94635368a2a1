"""`display:` a window on this machine's screen; q, Esc or its close button ends the stream."""

from __future__ import annotations

import cv2

from runtime.errors import SinkError
from runtime.frames import Frame, to_8bit
from runtime.sinks.sink import Mark, SinkClosed

_TITLE = "in loco"
_END_KEYS = (ord("q"), 27)  # 27 is Esc


class DisplaySink:
    """A window that opens with the first frame."""

    def __init__(self) -> None:
        self._is_open = False

    def write(self, frame: Frame, mark: Mark) -> None:
        try:
            if not self._is_open:
                cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
                cv2.resizeWindow(_TITLE, max(320, frame.shape[1]), max(240, frame.shape[0]))
                self._is_open = True
            cv2.imshow(_TITLE, to_8bit(frame))
            if cv2.waitKey(1) & 0xFF in _END_KEYS or cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
                raise SinkClosed
        except cv2.error as error:
            raise SinkError(
                "this OpenCV has no windows: pip install opencv-python in place of opencv-python-headless, "
                "or name a file with --sink"
            ) from error

    def close(self) -> None:
        """Close the window."""
        if self._is_open:
            cv2.destroyAllWindows()
            self._is_open = False

    def abort(self) -> None:
        self.close()


def open_display(rest: str) -> DisplaySink:
    """A window; it opens with the first frame."""
    return DisplaySink()
