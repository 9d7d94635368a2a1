"""`--control name=value` → the further inputs of an engine, checked against its manifest.

    z=seed:3            a draw from the control's own distribution, the same every time
    style=file.npy      an array of the control's shape
    domain=FLAIR        one-hot by the name of a class; hair=Blond,Young sets several
    strength=0.5        numbers, as many as the control has
    mask=mask.png       a picture, stretched from black..white to the control's low..high
    style=default       the value that it has when it is not given
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from runtime.errors import ControlError, SourceError
from runtime.frames import Array
from runtime.images import IMAGE_SUFFIXES, read_image
from runtime.manifest import Control

Encoder: TypeAlias = Callable[[Path], Array]  # a reference picture → the numbers of a control; may raise ControlError


def parse_controls(assignments: Sequence[str], controls: Sequence[Control]) -> dict[str, Array]:
    """Every control by name as a float32 array of its shape; those not assigned take their default.

    Raises:
        ControlError: a control is unknown or assigned twice, or its value is not allowed.
    """
    values = parse_assignments(assignments, controls)
    return {control.name: values.get(control.name, default_value(control)) for control in controls}


def parse_assignments(
    assignments: Sequence[str], controls: Sequence[Control], encoders: Mapping[str, Encoder] | None = None
) -> dict[str, Array]:
    """The assigned controls by name, as `parse_controls`; `encoders`: control → what computes it from a picture.

    Raises:
        ControlError: as `parse_controls`.
    """
    values: dict[str, Array] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not text:
            raise ControlError(f"{assignment!r} is not NAME=VALUE, such as domain=FLAIR or z=seed:3")
        control = control_of(name, controls)
        if name in values:
            raise ControlError(f"control {name!r} is given twice")
        values[name] = _parse(text, control, (encoders or {}).get(name))
    return values


def control_of(name: str, controls: Sequence[Control]) -> Control:
    """The control of that name. Raises ControlError, with those there are."""
    for control in controls:
        if control.name == name:
            return control
    raise ControlError(f"the engine has no control {name!r}; {describe(controls)}")


def describe(controls: Sequence[Control]) -> str:
    """The controls of an engine in words, for messages and for `verify`."""
    if not controls:
        return "it takes none"
    return "it takes " + ", ".join(f"{c.name} ({allowed(c)})" for c in controls)


def default_value(control: Control) -> Array:
    """The default of a control, zeros where the manifest gives none."""
    if control.default is None:
        return np.zeros(control.shape, np.float32)
    return np.array(control.default, np.float32).reshape(control.shape)


def checked_value(values: Array, control: Control) -> Array:
    """`values`, of any shape with as many numbers as the control has, as a float32 array of its shape (a copy).

    Raises:
        ControlError: another count, or a value out of range.
    """
    wanted = int(np.prod(control.shape))
    if values.size != wanted:
        raise ControlError(f"control {control.name!r} takes {wanted} number(s), not {values.size}")
    return _in_range(np.array(values, np.float32).reshape(control.shape), control)


def _parse(text: str, control: Control, encode: Encoder | None) -> Array:
    suffix = Path(text).suffix.lower()
    if text == "default":
        return default_value(control)
    if text.startswith("seed:"):
        value = _sample(text.removeprefix("seed:"), control)
    elif suffix == ".npy":
        value = _load(Path(text), control)
    elif suffix in IMAGE_SUFFIXES and encode is not None:
        value = checked_value(encode(Path(text)), control)
    elif suffix in IMAGE_SUFFIXES:
        value = _picture(Path(text), control)
    elif any(part in control.names for part in text.split(",")):
        value = _classes(text.split(","), control)
    else:
        value = _numbers(text, control)
    return _in_range(value, control)


def _sample(text: str, control: Control) -> Array:
    if not text.isdecimal():
        raise ControlError(f"control {control.name!r}: a seed is a whole number from 0, not {text!r}")
    rng = np.random.default_rng(int(text))
    if control.distribution == "normal":
        return rng.standard_normal(control.shape, np.float32)
    if control.distribution == "uniform":
        low, high = control.low or 0.0, 1.0 if control.high is None else control.high
        return rng.uniform(low, high, control.shape).astype(np.float32)
    raise ControlError(f"control {control.name!r} has no distribution to draw from: {allowed(control)}")


def _load(path: Path, control: Control) -> Array:
    try:
        loaded = np.load(path, allow_pickle=False)
        value = np.asarray(loaded, np.float32)
    except (OSError, ValueError, TypeError) as error:
        raise ControlError(f"control {control.name!r}: cannot read {path} as a numeric .npy file") from error
    if value.shape not in (control.shape, control.shape[1:]):
        raise ControlError(f"control {control.name!r}: {path} is {value.shape}, wanted {control.shape}")
    return value.reshape(control.shape)


def _picture(path: Path, control: Control) -> Array:
    """A picture as (1, C, H, W) over low..high."""
    if control.kind not in ("mask", "image") or control.low is None or control.high is None:
        raise ControlError(f"control {control.name!r} takes no picture: {allowed(control)}")
    _, channels, height, width = control.shape
    try:
        picture = read_image(path, channels)
    except SourceError as error:
        raise ControlError(f"control {control.name!r}: {error}") from error
    if picture.shape[:2] != (height, width):
        raise ControlError(f"control {control.name!r}: {path} is {picture.shape[:2]}, wanted {height, width}")
    share = picture.transpose(2, 0, 1)[None].astype(np.float32) / 255
    return control.low + share * np.float32(control.high - control.low)


def _classes(names: list[str], control: Control) -> Array:
    """1 at the named classes, 0 elsewhere; or the class's number where the control is a single one."""
    if unknown := [name for name in names if name not in control.names]:
        raise ControlError(f"control {control.name!r} has no class {unknown[0]!r}: {allowed(control)}")
    indices = [control.names.index(name) for name in names]
    size = int(np.prod(control.shape))
    if size == 1:
        return np.full(control.shape, indices[0], np.float32)
    value = np.zeros(size, np.float32)
    value[indices] = 1
    return value.reshape(control.shape)


def _numbers(text: str, control: Control) -> Array:
    try:
        value = np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError:
        raise ControlError(f"control {control.name!r} cannot be {text!r}: {allowed(control)}") from None
    return checked_value(value, control)


def _in_range(value: Array, control: Control) -> Array:
    low = -np.inf if control.low is None else control.low
    high = np.inf if control.high is None else control.high
    if not np.isfinite(value).all() or value.min() < low or value.max() > high:
        raise ControlError(f"control {control.name!r} is out of range: {allowed(control)}")
    return np.ascontiguousarray(value)


def allowed(control: Control) -> str:
    """What may be written after `name=`."""
    ways = []
    if control.names:
        ways.append(" or ".join(control.names))
    if control.distribution:
        ways.append("seed:N")
    size = int(np.prod(control.shape))
    ways.append(f"{size} number(s)" if size <= 16 else f"a .npy file of shape {control.shape}")
    if control.low is not None or control.high is not None:
        low = "−∞" if control.low is None else f"{control.low:g}"
        high = "∞" if control.high is None else f"{control.high:g}"
        ways.append(f"range {low} to {high}")
    return "; ".join(ways)
