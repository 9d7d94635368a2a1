"""The one pixel format of the runtime: a frame is an (H, W, C) array exactly as a camera gives it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# (H, W, C), C-contiguous, C = 3 (BGR) or 1 (gray); uint8 0..255, or uint16 0..65535 where the domain is 16-bit.
Frame: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
Array: TypeAlias = NDArray[Any]
