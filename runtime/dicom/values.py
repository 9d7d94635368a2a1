"""Stored pixel values ↔ the whole range of an engine: one straight line, there and back.

    stored ──(x − low) / (high − low)──► 0..1 ──► 0..255 or 0..65535 ──► engine ──► back along the same line

In DICOM a stored value becomes a modality value by the rescale (slope, intercept) and a gray level by the window
(PS3.3 C.7.6.3, C.11.1, C.11.2); the line joins them, so that rescale and window of the source hold for the result too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from runtime.errors import DicomError
from runtime.frames import Array, Frame

WINDOW, STORED = "window", "stored"
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?):(-?\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Appearance:
    """How an image says that its stored values are to be seen."""

    slope: float = 1.0
    intercept: float = 0.0
    window: tuple[float, float] | None = None  # lowest and highest modality value shown
    inverted: bool = False  # MONOCHROME1: the lowest value is white
    bits: int = 16  # stored
    signed: bool = False
    padding: tuple[int, int] | None = None  # stored values from..to that are no picture
    colour: bool = False

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest stored value."""
        return (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.signed else (0, (1 << self.bits) - 1)


@dataclass(frozen=True)
class ValueLine:
    """Stored values `dark`..`bright` are 0..maximum of the engine; `dark` > `bright` where the image is inverted."""

    dark: float
    bright: float
    limits: tuple[int, int]
    words: str  # for the derivation description

    def to_frame(self, stored: Array, dtype: str) -> Frame:
        """Stored values of any shape as `dtype` (uint8 or uint16); what lies outside the line's ends is clipped."""
        top = np.iinfo(dtype).max
        share = (stored.astype(np.float64) - self.dark) / (self.bright - self.dark)
        return np.rint(np.clip(share, 0, 1) * top).astype(dtype)

    def to_stored(self, frame: Frame, like: Array) -> Array:
        """The way back, to the type of the stored values `like`."""
        share = frame.astype(np.float64) / np.iinfo(frame.dtype).max
        values = np.rint(self.dark + share * (self.bright - self.dark))
        return np.clip(values, *self.limits).astype(like.dtype)


def line_of(stored: Array, look: Appearance, choice: str) -> ValueLine:
    """The line that `choice` asks for: "window", "stored" (every value that the bits can hold) or "LOW:HIGH" in
    modality values, such as -1000:3000 HU. A gray image without a window is taken from its least to its greatest value;
    colour has no window and is taken whole.

    Raises:
        DicomError: the choice is none of these.
    """
    low, high = check_choice(choice)
    if look.colour or choice == STORED:
        dark, bright, words = *map(float, look.limits), f"all {look.bits} stored bits"
    elif choice != WINDOW:
        dark, bright, words = _stored(low, look), _stored(high, look), f"values {low:g} to {high:g}"
    elif look.window is not None:
        low, high = look.window
        dark, bright, words = _stored(low, look), _stored(high, look), f"its window, values {low:g} to {high:g}"
    else:
        dark, bright = _extent(stored, look)
        words = "its own least to greatest value (it has no window)"
    if dark == bright:
        bright = dark + 1
    if look.inverted:
        dark, bright = bright, dark
    return ValueLine(dark, bright, look.limits, words)


def check_choice(choice: str) -> tuple[float, float]:
    """The ends of LOW:HIGH, or 0, 0 for the named choices. Raises DicomError for anything else."""
    if choice in (WINDOW, STORED):
        return 0.0, 0.0
    match = _RANGE.fullmatch(choice)
    if match is None or float(match[1]) >= float(match[2]):
        raise DicomError(f"--values {choice!r} is not window, stored or LOW:HIGH such as -1000:3000")
    return float(match[1]), float(match[2])


def padding_mask(stored: Array, padding: tuple[int, int]) -> Array:
    """True where a value marks what is no picture."""
    mask: Array = (stored >= min(padding)) & (stored <= max(padding))
    return mask


def _stored(value: float, look: Appearance) -> float:
    return (value - look.intercept) / look.slope


def _extent(stored: Array, look: Appearance) -> tuple[float, float]:
    values = stored
    if look.padding is not None:
        picture = ~padding_mask(stored, look.padding)
        values = stored[picture] if picture.any() else stored
    least, greatest = float(values.min()), float(values.max())
    return (greatest, least) if look.slope < 0 else (least, greatest)
