"""Boxes of instances as a control: (1, N, 5) of x1 y1 x2 y2 in pixels of the engine's frame, and 1; empty slots are 0.

    boxes.txt    a line for each: `x1 y1 x2 y2`, in pixels from the corner of the frame, and what follows (a class) is
                 not read; a line `size 1280 720` says that they are of pictures of that width and height
    boxes.xml    VOC: pixels counted from 1, the last one inside
    boxes.json   COCO, of one image
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from runtime.errors import ControlError
from runtime.fit import placement
from runtime.frames import Array
from runtime.manifest import Control, ImagePort
from runtime.notes import Say

Size = tuple[int, int]  # (H, W)


def read_boxes(path: Path, name: str) -> tuple[Array, Size | None]:
    """The (n, 4) boxes of a file, and of what size the picture is that they belong to (None: not said).

    Raises:
        ControlError: the file cannot be read or is of no such format; `name` is the control's.
    """
    try:
        return _READERS[path.suffix.lower()](path)
    except (OSError, UnicodeDecodeError, ElementTree.ParseError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ControlError(f"control {name!r}: {path} holds no boxes ({reason}): see docs/controls.md") from error


def box_slots(
    boxes: Array, size: Size | None, control: Control, port: ImagePort | None, how: tuple[str, Say]
) -> Array:
    """(1, N, 5): boxes of a picture of `size` (None: the engine's) as they stand in the frame after `how`'s fit.

    They are cut at the frame's edges; of more than there are slots, the greatest are taken, and `how`'s listener told.

    Raises:
        ControlError: a box is outside the picture, or its corners are not in order.
    """
    fit, say = how
    if port is None:
        raise ControlError(f"control {control.name!r}: the engine takes no frame that boxes could be in")
    height, width = size or (port.height, port.width)
    cut = boxes.clip(0, [width, height, width, height])
    for box, inside in zip(boxes, cut, strict=True):
        if not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
            raise ControlError(f"control {control.name!r}: {_words(box)} is no box: x1 < x2 and y1 < y2 are wanted")
        if (inside[2:] <= inside[:2]).any():
            raise ControlError(f"control {control.name!r}: the box {_words(box)} is outside the {width}×{height} image")
    placed = _placed(cut, (height, width), (port.height, port.width), fit)
    area = (placed[:, 2:] - placed[:, :2]).clip(0).prod(axis=1)
    order = [index for index in np.argsort(-area, kind="stable") if area[index] > 0]
    slots = control.shape[1]
    if len(order) > slots:
        say(f"{len(order)} boxes for {slots} slots: the greatest {slots} are taken")
    value = np.zeros(control.shape, np.float32)
    for slot, index in enumerate(order[:slots]):
        value[0, slot] = (*placed[index], 1.0)
    return value


def _placed(boxes: Array, size: Size, frame: Size, fit: str) -> Array:
    (top, left), (down, across) = placement(size, frame, fit)
    moved = boxes * [across, down, across, down] + [left, top, left, top]
    return moved.clip(0, [frame[1], frame[0], frame[1], frame[0]])


def _text(path: Path) -> tuple[Array, Size | None]:
    rows: list[list[float]] = []
    size: Size | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            if words[0] == "size":
                width, height = map(int, words[1:])
                size = height, width
                continue
            x1, y1, x2, y2 = map(float, words[:4])
        except ValueError:
            raise ValueError(f"line {number} is no x1 y1 x2 y2, nor size WIDTH HEIGHT") from None
        rows.append([x1, y1, x2, y2])
    return _array(rows), size


def _voc(path: Path) -> tuple[Array, Size | None]:
    tree = ElementTree.parse(path)
    found = [box for item in tree.iter("object") for box in item.findall("bndbox")]
    rows = [[float(str(box.findtext(edge))) for edge in ("xmin", "ymin", "xmax", "ymax")] for box in found]
    stated = tree.find("size")
    size = None if stated is None else (int(str(stated.findtext("height"))), int(str(stated.findtext("width"))))
    return _array([[x1 - 1, y1 - 1, x2, y2] for x1, y1, x2, y2 in rows]), size


def _coco(path: Path) -> tuple[Array, Size | None]:
    values = json.loads(path.read_text(encoding="utf-8"))
    images = values["images"]
    if len(images) != 1:
        raise ValueError(f"it has {len(images)} images; write the annotations of one")
    found = [item["bbox"] for item in values["annotations"] if not item.get("iscrowd")]
    size = (int(images[0]["height"]), int(images[0]["width"])) if "height" in images[0] else None
    return _array([[x, y, x + width, y + height] for x, y, width, height in found]), size


def _array(rows: list[list[float]]) -> Array:
    return np.array(rows, np.float64).reshape(-1, 4)


def _words(box: Array) -> str:
    return " ".join(f"{value:g}" for value in box)


_READERS: dict[str, Callable[[Path], tuple[Array, Size | None]]] = {".txt": _text, ".xml": _voc, ".json": _coco}
BOX_SUFFIXES = tuple(_READERS)
