"""The grid that up-sampling draws on flat areas, where no picture hides it (Odena et al., "Deconvolution and
Checkerboard Artifacts", 2016).

Strides of 2, 4 and 8 can only draw patterns that repeat every 8 pixels. Such a pattern is what all 8×8 blocks of a
picture have in common: its RMS is the energy of the peaks of the spectrum at the multiples of 1/8 of the sampling rate.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from runtime.frames import Array, Frame
from runtime.manifest import ImagePort

PERIOD = 8
LEVELS = (32, 80, 128, 176, 224)  # of 255, of the flat frames
BORDER = 32  # px at each side, which padding disturbs


def flat_frames(port: ImagePort) -> list[Frame]:
    """Frames of one level each, as an engine takes them."""
    scale = np.iinfo(port.dtype).max / 255
    return [np.full(port.shape, round(level * scale), port.dtype) for level in LEVELS]


def grid_energy(picture: Array) -> float:
    """RMS of the pattern of period 8 in the middle of a picture (H, W, C), of its strongest channel; levels of 255."""
    border = min(BORDER, min(picture.shape[:2]) // 4)
    rows, columns = ((size - 2 * border) // PERIOD * PERIOD for size in picture.shape[:2])
    shown = picture.astype(np.float64) * (255 / np.iinfo(picture.dtype).max)
    # The mean over one period in both directions holds nothing of the grid, and all of what is smooth.
    smooth = uniform_filter1d(uniform_filter1d(shown, PERIOD, axis=0), PERIOD, axis=1)
    inside = (shown - smooth)[border : border + rows, border : border + columns]
    pattern = inside.reshape(rows // PERIOD, PERIOD, columns // PERIOD, PERIOD, -1).mean(axis=(0, 2))  # (8, 8, C)
    return float(np.sqrt(np.square(pattern - pattern.mean(axis=(0, 1))).mean(axis=(0, 1))).max())
