"""Where tiles lie on a larger frame, and how much each says about a pixel.

What a tile gives near its inner edges was computed without what lies beyond them. A manifest says how far that is felt
(`decisions["reach"]`, in pixels): with tiles that overlap by twice as much, and weights that leave those rims out,
tiles give what one engine of the frame's size would. Edges that are the frame's own are no inner ones. Tiles start at
multiples of the network's stride, or a strided convolution would sample other pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np

from runtime.frames import Array
from runtime.manifest import WHOLE_FRAME, Manifest

_OVERLAP = 8  # the overlap is a tile's side divided by this, where tiles cannot be exact
_FADE = 8  # pixels between two exact tiles, which differ there by rounding only
_MOST = 2  # the overlap of exact tiles is at most a tile's side divided by this: beyond it, cost explodes
_STRIDE = 32  # of a network that does not say, as far as its size allows


@dataclass(frozen=True)
class Seam:
    """How tiles of one engine meet."""

    margin: int  # pixels at a tile's inner edges that are not used
    overlaps: tuple[int, int]  # (down, across)
    stride: int
    warning: str = ""  # why the whole is not what one engine of the frame's size would give


def seam_of(manifest: Manifest) -> Seam:
    """How the tiles of an engine meet, by what its manifest says of its network."""
    assert manifest.frame is not None
    sides = manifest.frame.height, manifest.frame.width
    reach, stride = manifest.decisions.get("reach", ""), int(manifest.decisions.get("stride", _likely_stride(*sides)))
    name = f"{manifest.file} in tiles of {sides[1]}×{sides[0]}"
    if reach.isdecimal():
        exact = 2 * int(reach) + _FADE
        if all(exact <= side // _MOST for side in sides):
            return Seam(int(reach), (exact, exact), stride)
        why = f"each of its pixels sees {reach} to every side, too far for tiles so small; export it at a larger --size"
    elif reach == WHOLE_FRAME:
        why = "each of its pixels depends on the whole frame, as with instance norm, and a tile is not the whole"
    else:
        why = "its manifest does not say how far its pixels see; export it again"
    overlaps = sides[0] // _OVERLAP, sides[1] // _OVERLAP
    return Seam(0, overlaps, stride, f"{name} is not exact, and tiles may differ in tone: {why}")


def _likely_stride(height: int, width: int) -> int:
    stride = gcd(_STRIDE, height, width)
    while stride > max(1, min(height, width) // 4):  # tiles must overlap
        stride //= 2
    return stride


@dataclass(frozen=True)
class Span:
    """One tile's place on an axis."""

    start: int
    weights: Array  # (tile·scale,) float32; of all tiles they add up to 1 wherever there is frame


@lru_cache(maxsize=16)
def spans(length: int, tile: int, scale: int, overlap: int, margin: int = 0, stride: int = 1) -> tuple[Span, ...]:
    """The tiles along an axis of `length` pixels. The last may end beyond it, by less than a stride.

    Neighbours overlap by at least `overlap`, fade linearly into each other, and leave out `margin` at inner edges.
    """
    grown = tile + -(-max(0, length - tile) // stride) * stride
    step = max(stride, (tile - overlap) // stride * stride)
    count = 1 + -(-(grown - tile) // step)
    starts = [int(start) // stride * stride for start in np.linspace(0, grown - tile, count)]
    side = tile * scale
    ramps = [_ramp(side, (overlap - 2 * margin) * scale, margin * scale, index, count) for index in range(count)]
    total = np.zeros(grown * scale)
    for start, ramp in zip(starts, ramps, strict=True):
        total[start * scale : start * scale + side] += ramp
    return tuple(
        Span(start, (ramp / total[start * scale : start * scale + side]).astype(np.float32))
        for start, ramp in zip(starts, ramps, strict=True)
    )


def _ramp(side: int, fade: int, margin: int, index: int, count: int) -> Array:
    """0 up to `margin` from an inner edge, then up to 1 within `fade` pixels; 1 at the edges of the frame."""
    first, last = np.full(side, np.inf), np.full(side, np.inf)
    if index > 0:
        first = np.arange(side) + 1.0
    if index < count - 1:
        last = np.arange(side)[::-1] + 1.0
    weights: Array = np.clip((np.minimum(first, last) - margin) / max(1, fade), 0.0, 1.0)
    return weights
