"""How frames become 4:2:0 video and back: with rounding, and with all of the chroma.

FFmpeg's default conversion rounds down. It is ten times faster (0.2 instead of 3 ms at 640×360), and a dark picture
loses one to two levels in each direction, which a network that brightens would multiply.
"""

from __future__ import annotations

# SWS_AREA, SWS_ACCURATE_RND and SWS_FULL_CHR_H_INT of libswscale. PyAV names the last two from 18 on only, which wants
# Python 3.11; JetPack 6 has 3.10.
EXACT = 0x20 | 0x40000 | 0x2000
