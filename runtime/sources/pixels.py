"""Pixel formats of machine vision cameras (PFNC, EMVA's naming convention) to frames, without losing a level.

Depths are widened by repeating their upper bits, so that black and white stay so (12 → 16 bit: v << 4 | v >> 8), and
narrowed by leaving the lower bits out. Bayer mosaics are interpolated bilinearly at their own depth; a sample keeps its
value where it was taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from runtime.errors import SourceError
from runtime.frames import Array, Frame


@dataclass(frozen=True)
class PixelFormat:
    """How a camera lays out its pixels."""

    name: str
    bits: int  # of a sample
    colours: str = ""  # "": gray; RGB, BGR: three samples a pixel; otherwise the mosaic's first row, then its second
    packing: str = ""  # "": each sample in the fewest whole bytes; "Packed": GigE Vision's; "p": USB3 Vision's


_MOSAICS = {"GR": "GRBG", "RG": "RGGB", "GB": "GBRG", "BG": "BGGR"}  # PFNC's name → the four samples
_DEMOSAIC = {
    "GRBG": cv2.COLOR_BayerGRBG2BGR,
    "RGGB": cv2.COLOR_BayerRGGB2BGR,
    "GBRG": cv2.COLOR_BayerGBRG2BGR,
    "BGGR": cv2.COLOR_BayerBGGR2BGR,
}
_RIM = 2  # pixels: a whole period of the mosaic


def _formats() -> dict[int, PixelFormat]:
    """PFNC's 32-bit codes; those of Bayer mosaics follow one another in the order GR, RG, GB, BG, or are listed."""
    found = {
        0x01080001: PixelFormat("Mono8", 8),
        0x01100003: PixelFormat("Mono10", 10),
        0x01100005: PixelFormat("Mono12", 12),
        0x010C0006: PixelFormat("Mono12Packed", 12, packing="Packed"),
        0x010C0047: PixelFormat("Mono12p", 12, packing="p"),
        0x01100025: PixelFormat("Mono14", 14),
        0x01100007: PixelFormat("Mono16", 16),
        0x02180014: PixelFormat("RGB8", 8, "RGB"),
        0x02180015: PixelFormat("BGR8", 8, "BGR"),
    }
    rows = [(0x01080008, 8, ""), (0x0110000C, 10, ""), (0x01100010, 12, ""), (0x0110002E, 16, "")]
    for first, bits, packing in [*rows, (0x010C002A, 12, "Packed")]:
        for index, (name, mosaic) in enumerate(_MOSAICS.items()):
            found[first + index] = PixelFormat(f"Bayer{name}{bits}{packing}", bits, mosaic, packing)
    for code, name in {0x010C0053: "BG", 0x010C0055: "GB", 0x010C0057: "GR", 0x010C0059: "RG"}.items():
        found[code] = PixelFormat(f"Bayer{name}12p", 12, _MOSAICS[name], "p")
    return found


FORMATS = _formats()  # code → format


def to_frame(data: bytes, code: int, size: tuple[int, int], channels: int, dtype: str, padding: int = 0) -> Frame:
    """The bytes of one picture of `size` (height, width), each row followed by `padding` bytes, as (H, W, channels).

    Raises SourceError where the format is not known or bytes are missing.
    """
    if code not in FORMATS:
        names = ", ".join(known.name for known in FORMATS.values())
        raise SourceError(f"pixel format 0x{code:08x} is not read; ask the camera for one of {names}")
    layout = FORMATS[code]
    samples = _unpack(data, layout, size, padding)
    if layout.colours in _DEMOSAIC:
        samples = _demosaic(samples, layout.colours)
    elif layout.colours == "RGB":
        samples = samples.reshape(*size, 3)[:, :, ::-1]
    else:
        samples = samples.reshape(*size, -1)
    return np.ascontiguousarray(with_channels(_with_depth(samples, layout.bits, dtype), channels))


def _unpack(data: bytes, layout: PixelFormat, size: tuple[int, int], padding: int) -> Array:
    """(H, samples of a row), uint8 or uint16, each as wide as its `bits`."""
    height, per_row = size[0], size[1] * (3 if layout.colours in ("RGB", "BGR") else 1)
    if layout.packing and per_row % 2:
        raise SourceError(f"{layout.name} with an odd width ({per_row}) is not read; ask for an even one")
    bits = layout.bits if layout.packing else 8 * ((layout.bits + 7) // 8)
    row_bytes = per_row * bits // 8 + padding
    if len(data) < height * row_bytes - padding:
        raise SourceError(f"a frame has {len(data)} bytes, {height * row_bytes} are needed for {layout.name}")
    raw = np.frombuffer(data.ljust(height * row_bytes, b"\0"), np.uint8, height * row_bytes)
    rows = raw.reshape(height, row_bytes)[:, : row_bytes - padding]
    if not layout.packing:
        return rows if bits == 8 else np.ascontiguousarray(rows).view("<u2").astype(np.uint16)
    first, middle, last = np.moveaxis(rows.reshape(height, -1, 3).astype(np.uint16), 2, 0)
    if layout.packing == "Packed":  # upper 8 bits of one sample, the lower 4 of both, upper 8 bits of the other
        pair = first << 4 | middle & 15, last << 4 | middle >> 4
    else:  # a little-endian string of bits
        pair = first | (middle & 15) << 8, last << 4 | middle >> 4
    return np.stack(pair, axis=2).reshape(height, per_row)


def _demosaic(samples: Array, mosaic: str) -> Array:
    """(H, W, 3) BGR. The rim is mirrored with its phase, where OpenCV alone would copy its neighbours."""
    wide = cv2.copyMakeBorder(samples, _RIM, _RIM, _RIM, _RIM, cv2.BORDER_REFLECT_101)
    return cv2.cvtColor(wide, _DEMOSAIC[mosaic])[_RIM:-_RIM, _RIM:-_RIM]


def _with_depth(samples: Array, bits: int, dtype: str) -> Array:
    if dtype == "uint8":
        return (samples >> (bits - 8)).astype(np.uint8)
    wide = samples.astype(np.uint16)
    return wide if bits == 16 else wide << (16 - bits) | wide >> (2 * bits - 16)


def with_channels(frame: Array, channels: int) -> Array:
    """(H, W, channels) of a gray or BGR picture; gray is BT.601's luma."""
    if frame.ndim == 2:
        frame = frame[:, :, None]
    if frame.shape[2] == channels:
        return frame
    if channels == 3:
        return np.repeat(frame, 3, axis=2)
    return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[:, :, None]
