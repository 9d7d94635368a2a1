"""Images with several attributes each, as in CelebA's list_attr_celeba.txt.

The list's first line is the number of images, the second the names of the attributes; then a line per image: the file's
name and 1 or -1 for each attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError

LIST = "list_attr*.txt"


def read_attributes(folder: Path, wanted: Sequence[str]) -> tuple[list[Path], NDArray[np.float32]]:
    """Image files and the (N, len(wanted)) values 0 or 1 of the wanted attributes.

    The list stands in `folder`, the images in its sub-folder images/ or img_align_celeba/, or beside the list. Images
    that are not there are left out.

    Raises:
        DataError: no list, not in the format, an attribute that it lacks (with those that it has), or no image.
    """
    lists = sorted(folder.glob(LIST))
    if not lists:
        raise DataError(f"{folder} has no attribute list {LIST}; it is CelebA's: a count, names, then a line per image")
    lines = [line.split() for line in lists[0].read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(lines) < 3 or len(lines[0]) != 1:
        raise DataError(f"{lists[0]} is no attribute list: a count, the attributes' names, then a line per image")
    names, rows = lines[1], lines[2:]
    if missing := [name for name in wanted if name not in names]:
        raise DataError(f"{lists[0]} has no attribute {missing[0]!r}; it has {', '.join(names)}")
    if bad := [row for row in rows if len(row) != len(names) + 1 or set(row[1:]) - {"1", "-1"}]:
        raise DataError(f"{lists[0]}: the line of {bad[0][0]!r} is not a name and {len(names)} times 1 or -1")
    places = [folder / name for name in ("images", "img_align_celeba") if (folder / name).is_dir()]
    images = places[0] if places else folder
    there = [row for row in rows if (images / row[0]).is_file()]
    if not there:
        raise DataError(f"none of the {len(rows)} images of {lists[0]} is in {images}")
    columns = [1 + names.index(name) for name in wanted]
    values = np.array([[row[c] == "1" for c in columns] for row in there], np.float32)
    return [images / row[0] for row in there], values
