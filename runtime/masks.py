"""Pictures as controls: masks of instances in slots, and images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.errors import ControlError, SourceError
from runtime.fit import fit_frame
from runtime.frames import Array
from runtime.images import list_images, read_image
from runtime.manifest import Control, Manifest
from runtime.notes import Say


def picture_values(path: Path, control: Control, fit: str, wanted: str) -> Array:
    """A picture as (1, C, H, W) over the control's low..high; a mask fills the first slot, the others are empty.

    Colour planes stand as red, green, blue, as networks take them.

    Raises:
        ControlError: the control takes no picture (`wanted` says what), or the picture has another size or depth.
    """
    if control.kind not in ("mask", "image") or control.low is None or control.high is None:
        raise ControlError(f"control {control.name!r} takes no picture: {wanted}")
    if control.kind == "mask":
        value = np.zeros(control.shape, np.float32)
        value[0, 0] = _read_mask(path, control, fit)
        return value
    _, channels, height, width = control.shape
    picture = _read(path, channels, control)
    if picture.shape[:2] != (height, width):
        raise ControlError(f"control {control.name!r}: {path} is {_size(picture)}, wanted {width}×{height}: resize it")
    return _levels(picture[:, :, ::-1], control)


def read_masks(folder: Path, control: Control, fit: str) -> list[Array]:
    """The masks of a folder, each (H, W) over low..high and with a pixel inside, the greatest first.

    Raises:
        ControlError: the folder has no picture, or one cannot be read, or has another aspect than the others' size.
    """
    try:
        paths = list_images(folder)
    except SourceError as error:
        raise ControlError(f"control {control.name!r}: {error}") from error
    return by_area([_read_mask(path, control, fit) for path in paths], control)


def by_area(masks: list[Array], control: Control) -> list[Array]:
    """Those with a pixel inside, the greatest first."""
    middle = _middle(control)
    held = [mask for mask in masks if (mask > middle).any()]
    return sorted(held, key=lambda mask: -int((mask > middle).sum()))


def mask_slots(masks: list[Array], control: Control, manifest: Manifest | None, say: Say) -> Array:
    """(1, k·S, H, W): the masks in k sets of the S slots, k ≥ 1; empty slots are 0, or low where 0 is out of range.

    Raises:
        ControlError: there are more masks than slots, and the engine cannot take them one set after the other.
    """
    slots = control.shape[1]
    sets = max(1, -(-len(masks) // slots))
    if sets > 1:
        if manifest is None or not takes_sets(manifest):
            raise ControlError(f"control {control.name!r} has {slots} slot(s), not {len(masks)}: take some masks away")
        say(f"{len(masks)} masks for {slots} slots: {sets} passes over every frame, the greatest masks first")
    value = np.full((1, sets * slots, *control.shape[2:]), _empty(control), np.float32)
    for slot, mask in enumerate(masks):
        value[0, slot] = mask
    return value


def takes_sets(manifest: Manifest) -> bool:
    """Whether an engine's picture may be its next frame, with the next masks (InstaGAN): it then goes on in passes."""
    frame, masks = manifest.frame, [control for control in manifest.controls if control.kind == "mask"]
    if frame is None or len(masks) != 1 or len(manifest.translated) != 1:
        return False
    gives = [output.shape[1] for output in manifest.outputs if output.kind == "mask"]
    return manifest.translated[0].shape == frame.shape and gives == [masks[0].shape[1]]


def _read_mask(path: Path, control: Control, fit: str) -> Array:
    """(H, W) over low..high. Of another size it is brought to the control's as the frames are, which are like it."""
    _, _, height, width = control.shape
    mask: Array = _levels(fit_frame(_read(path, 1, control), height, width, fit), control)[0, 0]
    return mask


def _read(path: Path, channels: int, control: Control) -> Array:
    try:
        return read_image(path, channels)
    except SourceError as error:
        raise ControlError(f"control {control.name!r}: {error}") from error


def _levels(picture: Array, control: Control) -> Array:
    """(H, W, C) of 0..255 → (1, C, H, W) over low..high."""
    low, high = _range(control)
    share = picture.transpose(2, 0, 1)[None].astype(np.float32) / 255
    return np.ascontiguousarray(low + share * np.float32(high - low))


def _range(control: Control) -> tuple[float, float]:
    return 0.0 if control.low is None else control.low, 1.0 if control.high is None else control.high


def _middle(control: Control) -> float:
    return sum(_range(control)) / 2


def _empty(control: Control) -> float:
    low, high = _range(control)
    return 0.0 if low <= 0 <= high else low


def _size(picture: Array) -> str:
    return f"{picture.shape[1]}×{picture.shape[0]}"
