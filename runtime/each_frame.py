"""Controls that are another for every frame: what a detector finds in it, or what lies in a folder under its name.

    boxes=call:finder.py:find      find(frame) → (n, 4) boxes x1 y1 x2 y2 in pixels of the frame, which is (H, W, C)
    boxes=call:package.module:f    likewise, from a module that can be imported
    masks=call:segmenter.py:cut    (n, H, W) masks of the frame's size, 0 to 1; or booleans
    style=call:clock.py:style      the numbers of any other control
    boxes=DIR                      DIR/NAME.txt, .xml or .json for the frame of the file NAME; without one, no boxes
    masks=DIR                      where DIR holds folders: the masks of DIR/NAME/; without one, no masks
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from runtime.boxes import BOX_SUFFIXES, box_slots, read_boxes
from runtime.errors import ControlError
from runtime.fit import fit_frame
from runtime.frames import Array, Frame
from runtime.manifest import Control, Manifest
from runtime.masks import by_area, mask_slots, read_masks
from runtime.notes import Say

CALL = "call:"


class EachFrame(Protocol):
    """A control's value, which depends on the frame."""

    def __call__(self, frame: Frame, name: str) -> Array:
        """Float32, in the control's shape (masks: in whole sets). `name` is that of the frame's file, if it has one.

        Raises:
            ControlError: there is none that would do.
        """


Detector = Callable[[Frame], object]


@dataclass(frozen=True)
class Slots:
    """How what was found comes into the slots of a control."""

    control: Control
    manifest: Manifest | None
    fit: str
    say: Say

    def of_boxes(self, boxes: Array, size: tuple[int, int] | None) -> Array:
        """(n, 4) in pixels of a picture of `size` → (1, N, 5), as runtime/boxes.py."""
        port = self.manifest.frame if self.manifest else None
        return box_slots(boxes, size, self.control, port, (self.fit, self.say))

    def of_masks(self, masks: list[Array]) -> Array:
        """(H, W) each, over low..high and of the control's size → (1, k·S, H, W), as runtime/masks.py."""
        return mask_slots(masks, self.control, self.manifest, self.say)


def each_frame(text: str, slots: Slots) -> EachFrame | None:
    """What `text` means of every frame; None where it is one value for all.

    Raises:
        ControlError: the function cannot be found.
    """
    if text.startswith(CALL):
        return FromDetector(slots, text, find_function(text.removeprefix(CALL), slots.control))
    folder, kind = Path(text), slots.control.kind
    if kind == "boxes" and folder.is_dir():
        return BoxesByName(slots, folder)
    if kind == "mask" and folder.is_dir() and any(path.is_dir() for path in folder.iterdir()):
        return MasksByName(slots, folder)
    return None


@dataclass(frozen=True)
class FromDetector:
    """What a function finds in the frame."""

    slots: Slots
    text: str
    function: Detector

    def __call__(self, frame: Frame, name: str) -> Array:
        try:
            found = np.asarray(self.function(frame), np.float32)
        except Exception as error:  # somebody else's code, whatever it raises
            raise self._refused(f"raised {type(error).__name__}: {error}") from error
        control, (height, width) = self.slots.control, frame.shape[:2]
        if control.kind == "boxes":
            if found.size and (found.ndim != 2 or found.shape[1] < 4):
                raise self._refused(f"gave an array of shape {found.shape}; (n, 4) boxes x1 y1 x2 y2 are wanted")
            return self.slots.of_boxes(found[:, :4] if found.size else np.zeros((0, 4)), (height, width))
        if control.kind == "mask":
            if found.size and found.shape[1:] != (height, width):
                raise self._refused(f"gave an array of shape {found.shape}; (n, {height}, {width}) masks are wanted")
            return self.slots.of_masks(by_area([self._fitted(mask) for mask in found], control))
        if found.size != int(np.prod(control.shape)):
            raise self._refused(f"gave {found.size} number(s), not {int(np.prod(control.shape))}")
        return found.reshape(control.shape)

    def _fitted(self, mask: Array) -> Array:
        control = self.slots.control
        low, high = 0.0 if control.low is None else control.low, 1.0 if control.high is None else control.high
        picture = (mask.clip(0, 1) * 255).astype(np.uint8)[..., None]
        fitted = fit_frame(picture, control.shape[2], control.shape[3], self.slots.fit)
        levels: Array = low + fitted[..., 0].astype(np.float32) / 255 * np.float32(high - low)
        return levels

    def _refused(self, what: str) -> ControlError:
        return ControlError(f"control {self.slots.control.name!r}: {self.text.removeprefix(CALL)} {what}")


@dataclass(frozen=True)
class BoxesByName:
    """The boxes of a file with the frame's name."""

    slots: Slots
    folder: Path

    def __call__(self, frame: Frame, name: str) -> Array:
        stem = _stem(name, self.slots.control)
        for path in (self.folder / f"{stem}{suffix}" for suffix in BOX_SUFFIXES):
            if path.is_file():
                boxes, size = read_boxes(path, self.slots.control.name)
                return self.slots.of_boxes(boxes, size)
        return np.zeros(self.slots.control.shape, np.float32)


@dataclass(frozen=True)
class MasksByName:
    """The masks of a folder with the frame's name."""

    slots: Slots
    folder: Path

    def __call__(self, frame: Frame, name: str) -> Array:
        folder = self.folder / _stem(name, self.slots.control)
        masks = read_masks(folder, self.slots.control, self.slots.fit) if folder.is_dir() else []
        return self.slots.of_masks(masks)


def find_function(text: str, control: Control) -> Detector:
    """"package.module:name" or "file.py:name" → the function. Raises ControlError."""
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name.isidentifier():
        raise ControlError(f"control {control.name!r}: {CALL}{text} is not {CALL}FILE.py:NAME or {CALL}MODULE:NAME")
    try:
        function = getattr(_loaded(where), name)
    except Exception as error:  # an import runs somebody else's code
        reason = f"{type(error).__name__}: {error}"
        raise ControlError(f"control {control.name!r}: cannot import {name} of {where} ({reason})") from error
    if not callable(function):
        raise ControlError(f"control {control.name!r}: {name} of {where} is no function")
    found: Detector = function
    return found


def _loaded(where: str) -> ModuleType:
    path = Path(where)
    if path.suffix != ".py":
        return importlib.import_module(where)
    key = f"inloco_call_{path.stem}"
    spec = importlib.util.spec_from_file_location(key, path)
    assert spec is not None
    assert spec.loader is not None  # .py has one
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _stem(name: str, control: Control) -> str:
    if not name:
        raise ControlError(f"control {control.name!r}: frames of this source have no names; a folder of pictures has")
    return Path(name).stem
