"""`--control NAME=VALUE` → the further inputs of an engine, checked against its manifest.

    z=seed:3                        a draw from the control's own distribution, the same every time
    style=file.npy                  an array of the control's shape
    style=photo.png                 of a reference picture, computed by the encoder that the manifest names
    style=photo.png,domain=cat      where that encoder asks for something itself; likewise style=seed:3,domain=cat
    style=lerp:seed:3:seed:9:0.5    halfway on the line between two values; slerp: on the sphere, for normal noise
    domain=FLAIR                    one-hot by the name of a class; hair=Blond,Young sets several
    strength=0.5                    numbers, as many as the control has
    mask=mask.png                   a picture, stretched from black..white to the control's low..high
    masks=DIR                       the masks of a folder, one instance a picture
    boxes=FILE                      x1 y1 x2 y2 a line (.txt), VOC's .xml or COCO's .json
    boxes=DIR, boxes=call:f.py:find of every frame its own (runtime/each_frame.py)
    style=default                   the value that it has when it is not given
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from runtime.blend import blend
from runtime.boxes import BOX_SUFFIXES, read_boxes
from runtime.each_frame import CALL, EachFrame, Slots, each_frame
from runtime.errors import ControlError
from runtime.frames import Array
from runtime.images import IMAGE_SUFFIXES
from runtime.manifest import Control, Manifest
from runtime.masks import picture_values, read_masks
from runtime.notes import Say, say_nothing

_READ = {".npy", *BOX_SUFFIXES, *IMAGE_SUFFIXES}
Value = Array | EachFrame


class FileRefusedError(ControlError):
    """A value names a file where none may be named."""


class Companions(Protocol):
    """Engines that compute controls of another; in runtime/companions.py they are those of its manifest."""

    def encode(self, control: Control, picture: Path, options: Sequence[str]) -> Array:
        """The control of a reference picture; `options` are NAME=VALUE of the encoder. Raises ControlError."""

    def sample(self, control: Control, seed: int, options: Sequence[str]) -> Array:
        """A draw of the control's distribution, where an engine computes it. Raises ControlError."""


@dataclass(frozen=True)
class Surroundings:
    """What a value may depend on besides its control."""

    manifest: Manifest | None = None  # of the engine; masks and boxes are brought to the size of its frame
    companions: Companions | None = None
    fit: str = "letterbox"  # as frames of another size are brought to the engine's
    say: Say = say_nothing  # hears, in a sentence, what was done to a value to make it fit
    files: bool = True  # whether a value may name a file of this machine: never, where it comes over a network

    def slots(self, control: Control) -> Slots:
        """How boxes and masks come into a control's slots here."""
        return Slots(control, self.manifest, self.fit, self.say)


NOWHERE = Surroundings()


def parse_controls(assignments: Sequence[str], controls: Sequence[Control]) -> dict[str, Array]:
    """Every control by name as a float32 array of its shape; those not assigned take their default.

    Raises:
        ControlError: a control is unknown or assigned twice, or its value is not allowed.
    """
    values = fixed_values(parse_assignments(assignments, controls))
    return {control.name: values.get(control.name, default_value(control)) for control in controls}


def fixed_values(values: Mapping[str, Value]) -> dict[str, Array]:
    """The same, all of which are one value for all frames. Raises ControlError where one is not."""
    fixed = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    if varying := values.keys() - fixed.keys():
        raise ControlError(f"control {min(varying)!r} takes one value here, not another for every frame")
    return fixed


def parse_assignments(
    assignments: Sequence[str], controls: Sequence[Control], around: Surroundings = NOWHERE
) -> dict[str, Value]:
    """The assigned controls by name, as `parse_controls`; masks may have more slots than the control, in whole sets.

    Raises:
        ControlError: as `parse_controls`.
    """
    values: dict[str, Value] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not text:
            raise ControlError(f"{assignment!r} is not NAME=VALUE, such as domain=FLAIR or z=seed:3")
        control = control_of(name, controls)
        if name in values:
            raise ControlError(f"control {name!r} is given twice")
        values[name] = _each_frame(text, control, around) or in_range(_parse(text, control, around), control)
    return values


def _each_frame(text: str, control: Control, around: Surroundings) -> EachFrame | None:
    if around.files:
        return each_frame(text, around.slots(control))
    if text.startswith(CALL):
        raise FileRefusedError(f"control {control.name!r} cannot call this machine's functions over the network")
    return None


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
    return in_range(np.array(values, np.float32).reshape(control.shape), control)


def _parse(text: str, control: Control, around: Surroundings) -> Array:
    if text == "default":
        return default_value(control)
    if text.startswith(("lerp:", "slerp:")):
        return blend(text, control, lambda part: in_range(_parse(part, control, around), control))
    value, *options = _split_options(text)
    suffix = Path(value).suffix.lower()
    if value.startswith("seed:"):
        return _sample(value.removeprefix("seed:"), control, options, around)
    if not around.files and (suffix in _READ or control.kind == "mask"):
        raise FileRefusedError(f"control {control.name!r} cannot be read from this machine's files over the network")
    if suffix in IMAGE_SUFFIXES and around.companions is not None and control.companion:
        return checked_value(around.companions.encode(control, Path(value), options), control)
    if options:
        raise ControlError(f"control {control.name!r} takes no {options[0]!r} with {value!r}: {allowed(control)}")
    if suffix == ".npy":
        return _load(Path(value), control)
    if control.kind == "boxes" and suffix in BOX_SUFFIXES:
        return around.slots(control).of_boxes(*read_boxes(Path(value), control.name))
    if suffix in IMAGE_SUFFIXES:
        return picture_values(Path(value), control, around.fit, allowed(control))
    if control.kind == "mask" and Path(value).is_dir():
        return around.slots(control).of_masks(read_masks(Path(value), control, around.fit))
    if any(part in control.names for part in value.split(",")):
        return _classes(value.split(","), control)
    return _numbers(value, control)


def _split_options(text: str) -> list[str]:
    """"photo.png,domain=cat" → ["photo.png", "domain=cat"]; a comma that no NAME= follows is part of what is before."""
    parts: list[str] = []
    for part in text.split(","):
        if parts and part.partition("=")[0].isidentifier() and "=" in part:
            parts.append(part)
        else:
            parts[-1:] = [f"{parts[-1]},{part}" if parts else part]
    return parts


def _sample(text: str, control: Control, options: list[str], around: Surroundings) -> Array:
    if not text.isdecimal():
        raise ControlError(f"control {control.name!r}: a seed is a whole number from 0, not {text!r}")
    if control.sampler:
        if around.companions is None:
            raise ControlError(f"control {control.name!r}: {control.sampler} draws it, which is not at hand here")
        return checked_value(around.companions.sample(control, int(text), options), control)
    if options:
        raise ControlError(f"control {control.name!r} takes no {options[0]!r} with a seed: {allowed(control)}")
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


def in_range(value: Array, control: Control) -> Array:
    """`value`, contiguous. Raises ControlError where a number is outside the control's range."""
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
    if control.distribution or control.sampler:
        ways.append("seed:N")
    if control.companion:
        ways.append("a picture")
    if control.kind in ("mask", "boxes"):
        ways.append("call:FILE.py:FUNCTION")
    if control.kind == "mask":
        ways.append(f"a folder of masks, or a mask, of {control.shape[-1]}×{control.shape[-2]} or the frames' size")
    if control.kind == "boxes":
        ways.append(f"a .txt, .xml or .json file of up to {control.shape[1]} boxes, or a folder of one for each frame")
    size = int(np.prod(control.shape))
    ways.append(f"{size} number(s)" if size <= 16 else f"a .npy file of shape {control.shape}")
    if control.low is not None or control.high is not None:
        low = "−∞" if control.low is None else f"{control.low:g}"
        high = "∞" if control.high is None else f"{control.high:g}"
        ways.append(f"range {low} to {high}")
    return "; ".join(ways)
