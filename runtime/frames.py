"""The one pixel format of the runtime: a frame is an (H, W, C) array exactly as a camera gives it."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
# (H, W, C), C-contiguous, C = 3 (BGR) or 1 (gray); uint8 0..255, or uint16 0..65535 where the domain is 16-bit.
# numpy's own stubs lose the element type in most calls, so the alias says it in words.
Frame: TypeAlias = Array
