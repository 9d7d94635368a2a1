"""Boxes of instances beside a folder of images, in plain text, as VOC's XML or as COCO's JSON.

For images/7.png they are looked for in images_boxes/7.txt or 7.xml, in images_boxes/*.json or images_boxes.json, beside
the image itself (images/7.txt), in VOC's Annotations/ beside JPEGImages/, and in COCO's annotations/instances_*.json. A
line of text is `x1 y1 x2 y2`, in pixels from the image's corner, and what follows (a class) is not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.images import Crop, View, list_images
from models.errors import DataError

Boxes = NDArray[np.float64]  # (n, 4): x1 y1 x2 y2 in pixels of the stored image
SMALLEST = 4.0  # px of each side of a box in a sample
SEEN = 1 / 3  # least share of a box that a crop must show


class BoxFolder:
    """The boxes of the images of a folder; `found` says whether there are annotations at all."""

    def __init__(self, images: Path) -> None:
        self.boxes: dict[str, Boxes] = {}  # by the image's name without suffix
        files = _annotations(images)
        self.found = bool(files)
        for path in files:
            for name, rows in _READERS[path.suffix.lower()](path):
                self.boxes[name] = _checked(rows, path)

    def of(self, image: Path, shape: tuple[int, ...]) -> Boxes:
        """All boxes of an image of this shape, cut at its edges; none where it has no annotation.

        Raises:
            DataError: a box lies outside the image.
        """
        height, width = shape[:2]
        boxes = self.boxes.get(image.stem, np.zeros((0, 4)))
        cut = boxes.clip(0, [width, height, width, height])
        empty = (cut[:, 2:] <= cut[:, :2]).any(axis=1)
        if empty.any():
            numbers = " ".join(f"{value:g}" for value in boxes[empty][0])
            raise DataError(f"the box {numbers} of {image} lies outside the image, which is {width}×{height}: mend it")
        return cut


def box_slots(boxes: Boxes, shape: tuple[int, ...], cut: tuple[View, Crop], slots: int) -> Tensor:
    """The boxes as the sample shows them, the greatest first: (slots, 5) of x1 y1 x2 y2 in its pixels and 1.

    A box that the crop shows a third of, or 4 pixels, stays; empty slots are all 0.
    """
    view, drawn = cut
    placed = view.place(boxes, shape, drawn)
    seen = placed.clip(0, view.size)
    area = (seen[:, 2:] - seen[:, :2]).prod(axis=1)
    whole = (placed[:, 2:] - placed[:, :2]).prod(axis=1)
    good = ((seen[:, 2:] - seen[:, :2]).min(axis=1, initial=np.inf) >= SMALLEST) & (area >= SEEN * whole)
    chosen = seen[good][np.argsort(-area[good], kind="stable")][:slots]
    result = torch.zeros(slots, 5)
    result[: len(chosen), :4] = torch.from_numpy(chosen)
    result[: len(chosen), 4] = 1.0
    return result


def _annotations(images: Path) -> list[Path]:
    """All annotation files of a folder of images, of the first place that has some."""
    beside = images.with_name(images.name + "_boxes")
    single = [beside.with_name(beside.name + ".json"), images.parent / "annotations" / f"instances_{images.name}.json"]
    found = [[path] for path in single if path.is_file()]
    for place in [beside] + ([images.with_name("Annotations")] if images.name == "JPEGImages" else []):
        found.append(sorted(path for path in place.glob("*") if path.suffix.lower() in _READERS))
    # Among the images stand other texts too: only what has an image's name is of it.
    found.append([path.with_suffix(kind) for path in list_images(images) for kind in _READERS if kind != ".json"])
    found[-1] = [path for path in found[-1] if path.is_file()]
    return next((files for files in found if files), [])


def _checked(rows: list[list[float]], path: Path) -> Boxes:
    boxes = np.array(rows, np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise DataError(f"{path} has a box whose second corner is not to the right of and below its first: mend it")
    return boxes


def _text(path: Path) -> Iterator[tuple[str, list[list[float]]]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.replace(",", " ").split()
        try:
            rows += [[float(word) for word in words[:4]]] if words else []
            if words and len(words) < 4:
                raise ValueError
        except ValueError:
            raise DataError(f"{path}:{number} is no box: four numbers x1 y1 x2 y2 in pixels, then a class") from None
    yield path.stem, rows


def _voc(path: Path) -> Iterator[tuple[str, list[list[float]]]]:
    """VOC counts pixels from 1 and names the last one inside: first edges are one less, last ones as written."""
    try:
        found = [box for item in ElementTree.parse(path).iter("object") for box in item.findall("bndbox")]
        rows = [[float(str(box.findtext(edge))) for edge in ("xmin", "ymin", "xmax", "ymax")] for box in found]
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{path} is no VOC annotation ({error}): objects with a bndbox of four numbers") from error
    yield path.stem, [[x1 - 1, y1 - 1, x2, y2] for x1, y1, x2, y2 in rows]


def _coco(path: Path) -> Iterator[tuple[str, list[list[float]]]]:
    """COCO gives x, y, width and height; crowds, whose box is of no instance, are left out."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        names = {image["id"]: Path(image["file_name"]).stem for image in values["images"]}
        rows: dict[str, list[list[float]]] = {name: [] for name in names.values()}
        for item in values["annotations"]:
            x, y, width, height = (float(number) for number in item["bbox"])
            if not item.get("iscrowd"):
                rows[names[item["image_id"]]].append([x, y, x + width, y + height])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no COCO annotation ({error!r}): images, and annotations with bbox") from error
    yield from rows.items()


_READERS = {".txt": _text, ".xml": _voc, ".json": _coco}
