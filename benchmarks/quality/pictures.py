"""Pictures of a folder, read one by one when they are asked for, and matched by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from runtime.errors import SourceError
from runtime.frames import Array, Frame, to_8bit
from runtime.images import decode_picture, list_images


class Pictures(Sequence[Frame]):
    """Files as frames (H, W, C), BGR or gray, in their own size and depth."""

    def __init__(self, paths: Sequence[Path], names: Sequence[str] = ()) -> None:
        self.paths = tuple(paths)
        self.names = tuple(names) or tuple(path.stem for path in self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Frame:  # type: ignore[override]
        return read_picture(self.paths[index])

    def __iter__(self) -> Iterator[Frame]:
        return (read_picture(path) for path in self.paths)

    def named(self, names: Sequence[str], what: str) -> Pictures:
        """Those of the given names, in that order.

        Raises:
            SourceError: one is missing, or two files have one name; `what` says whose pictures these are.
        """
        at = dict(zip(self.names, self.paths, strict=True))
        if missing := [name for name in names if name not in at]:
            raise SourceError(
                f"{what} {self.paths[0].parent} has no picture {missing[0]!r} ({len(missing)} of {len(names)} are "
                "missing): pictures are matched by their names without suffix"
            )
        return Pictures([at[name] for name in names], names)


def open_folder(where: str | Path) -> Pictures:
    """The pictures of a folder or glob, sorted by name.

    Raises:
        SourceError: there are none, or two of one name.
    """
    found = Pictures(list_images(where))
    if len(set(found.names)) < len(found):
        twice = next(name for name in found.names if found.names.count(name) > 1)
        raise SourceError(f"{where} holds two pictures called {twice!r}: names without suffix must differ")
    return found


def read_picture(path: Path) -> Frame:
    """One file in its own channels and depth. Raises SourceError when it is damaged."""
    try:
        frame = decode_picture(path.read_bytes())
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
    if frame is None or frame.dtype not in (np.uint8, np.uint16):
        raise SourceError(f"{path} is damaged or not a picture; copy it again or take it out of the folder")
    return frame


def as_rgb(frame: Frame) -> Array:
    """(H, W, 3) uint8 RGB of any frame."""
    shown = to_8bit(frame)
    return np.asarray(cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB if shown.shape[2] == 1 else cv2.COLOR_BGR2RGB))


def as_image(frame: Frame) -> Tensor:
    """(1, 3, H, W) RGB in [-1, 1]."""
    return torch.from_numpy(as_rgb(frame)).permute(2, 0, 1)[None].float() / 127.5 - 1
