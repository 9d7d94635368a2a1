"""`lerp:A:B:SHARE` and `slerp:A:B:SHARE`: a value between two values of one control.

Linear everywhere but where the prior is normal noise, which offers both: nearly all of N(0, I)'s draws have the length
√d, and a network has seen no other, while the middle of a line between two draws is shorter by √2. On the great circle
the length is kept (White, "Sampling Generative Networks", 2016). Styles that an encoder gives have no such shell.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from runtime.errors import ControlError
from runtime.frames import Array
from runtime.manifest import Control

_VALUE = r"seed:[^:]+|(?!seed:)[^:]+"
_GRAMMAR = re.compile(rf"(?P<way>s?lerp):(?P<first>{_VALUE}):(?P<second>{_VALUE}):(?P<share>[^:]+)")
_DISCRETE = ("mask", "boxes")
_PARALLEL = 1e-6  # sine of the angle below which the circle is a line


def blend(text: str, control: Control, parse: Callable[[str], Array]) -> Array:
    """`parse` reads the two values.

    Raises:
        ControlError: another grammar, a share outside 0 … 1, or a control that has nothing in between.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise ControlError(f"{text!r} is not lerp:A:B:SHARE, such as {control.name}=lerp:seed:3:seed:9:0.5")
    if control.kind in _DISCRETE or (control.names and int(np.prod(control.shape)) == 1):
        raise ControlError(f"control {control.name!r} has nothing between two values: give one of them")
    try:
        share = float(match["share"])
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ControlError(f"{text!r}: the share is a number from 0 (the first) to 1 (the second)")
    first, second = parse(match["first"]), parse(match["second"])
    if match["way"] == "lerp":
        return lerp(first, second, share)
    if control.distribution != "normal":
        raise ControlError(f"control {control.name!r} is no normal noise, whose values lie on a sphere: use lerp")
    return slerp(first, second, share)


def lerp(first: Array, second: Array, share: float) -> Array:
    """(1 − share) · first + share · second."""
    value: Array = ((1 - share) * first + share * second).astype(np.float32)
    return value


def slerp(first: Array, second: Array, share: float) -> Array:
    """On the great circle through both; lengths change linearly. Of opposite or parallel values, the line."""
    lengths = [float(np.linalg.norm(value)) for value in (first, second)]
    if not all(lengths):
        return lerp(first, second, share)
    a, b = (value / length for value, length in zip((first, second), lengths, strict=True))
    angle = float(np.arccos(np.clip((a * b).sum(), -1, 1)))
    if abs(np.sin(angle)) < _PARALLEL:
        return lerp(first, second, share)
    direction = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    value: Array = (((1 - share) * lengths[0] + share * lengths[1]) * direction).astype(np.float32)
    return value
