"""The one pixel format of the runtime: a frame is an (H, W, C) array exactly as a camera gives it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
# (H, W, C), C-contiguous, C = 3 (BGR) or 1 (gray); uint8 0..255, or uint16 0..65535 where the domain
# is 16-bit. numpy's own stubs lose the element type in most calls, so the alias says it in words.
Frame: TypeAlias = Array


def to_8bit(frame: Frame) -> Frame:
    """The frame as uint8, for what shows or stores only that; a uint8 frame is returned as it is."""
    return (frame >> 8).astype(np.uint8) if frame.dtype == np.uint16 else frame
