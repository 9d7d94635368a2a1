"""Values of a generator's controls for calibration: drawn anew for every frame, from the control's own
distribution.

Calibrating with one style or one label would under-range everything behind the layers that they steer.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from runtime.controls import default_value
from runtime.frames import Array
from runtime.manifest import Control


def draw(control: Control, rng: Generator) -> Array:
    """One value, float32, of the control's shape and within its range."""
    value = _DRAWN[control.kind](control, rng) if control.kind in _DRAWN else _vector(control, rng)
    if control.low is not None or control.high is not None:
        value = np.clip(value, control.low, control.high)
    return np.ascontiguousarray(value, np.float32)


def is_sampled(control: Control) -> bool:
    """Whether calibration varies a control; an image or style without a known distribution keeps its
    default."""
    bounded = control.low is not None and control.high is not None
    return control.kind in _DRAWN or bounded or control.distribution != ""


def _bounds(control: Control) -> tuple[float, float]:
    """The control's range, 0 … 1 unless given."""
    return 0.0 if control.low is None else control.low, 1.0 if control.high is None else control.high


def _vector(control: Control, rng: Generator) -> Array:
    """Noise, styles and scalars."""
    bounded = control.low is not None and control.high is not None
    if control.distribution == "normal":
        return rng.standard_normal(control.shape)
    if control.distribution == "uniform" or bounded:
        return rng.uniform(*_bounds(control), control.shape)
    return default_value(control)


def _noise(control: Control, rng: Generator) -> Array:
    return _vector(control, rng) if control.distribution else rng.standard_normal(control.shape)


def _label(control: Control, rng: Generator) -> Array:
    """One class: 1 at its place of the last axis, or its number where the control is a single one."""
    if control.shape[-1] == 1:
        return np.full(control.shape, rng.integers(max(len(control.names), 1)), np.float32)
    value = np.zeros(control.shape, np.float32)
    value[..., rng.integers(control.shape[-1])] = 1
    return value


def _masks(control: Control, rng: Generator) -> Array:
    """0 … N filled slots of (1, N, H, W), each one rectangle; empty slots keep the default."""
    value = default_value(control)
    low, high = _bounds(control)
    count, height, width = control.shape[1:]
    for slot in range(rng.integers(count + 1)):
        top, left = rng.integers(height), rng.integers(width)
        value[0, slot] = low
        value[0, slot, top : top + rng.integers(1, height + 1), left : left + rng.integers(1, width + 1)] = (
            high
        )
    return value


def _boxes(control: Control, rng: Generator) -> Array:
    """Corners x1 y1 x2 y2 within the control's range, 0 … 1 unless given; with a fifth column, which says
    whether there is a box, the first 0 … N slots are filled and the others keep the default."""
    value = default_value(control)
    low, high = _bounds(control)
    corners = np.sort(rng.uniform(low, high, (*control.shape[:-1], 2, 2)), axis=-2)
    filled = rng.integers(control.shape[-2] + 1) if control.shape[-1] > 4 else control.shape[-2]
    value[..., :filled, :4] = corners.reshape(*control.shape[:-1], 4)[..., :filled, :]
    value[..., :filled, 4:] = 1
    return value


_DRAWN = {"noise": _noise, "label": _label, "mask": _masks, "boxes": _boxes}
