"""How frames become 4:2:0 video and back: with rounding, and with all of the chroma.

FFmpeg's default conversion rounds down. It is ten times faster (0.2 instead of 3 ms at 640×360), and a dark picture
loses one to two levels in each direction, which a network that brightens would multiply.
"""

from __future__ import annotations

from av.video.reformatter import Interpolation

EXACT = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
