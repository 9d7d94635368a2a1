"""Reads and writes pictures as frames; other channels, another depth or a broken file is an error."""

from __future__ import annotations

import os
from glob import glob, has_magic
from pathlib import Path

import cv2
import numpy as np

from runtime.errors import SinkError, SourceError
from runtime.frames import Array, Frame

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # errors only: a damaged file is told once, by us
_START_OF_IMAGE, _START_OF_SCAN, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"  # JPEG markers


def list_images(where: str | Path) -> list[Path]:
    """The pictures of a folder (not of its sub-folders), or those that a glob matches, sorted by name.

    Raises:
        SourceError: there is no such folder, or no picture in it.
    """
    if has_magic(str(where)) and not Path(where).exists():
        paths = [Path(name) for name in glob(str(where), recursive=True)]
    else:
        folder = Path(where)
        if not folder.is_dir():
            raise SourceError(f"there is no folder {folder}; give a folder or a glob like 'in/*.png'")
        paths = list(folder.iterdir())
    pictures = sorted(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not pictures:
        raise SourceError(f"{where} holds no picture; these are read: {', '.join(IMAGE_SUFFIXES)}")
    return pictures


def read_image(path: str | Path, channels: int, dtype: str = "uint8") -> Frame:
    """One picture as (H, W, channels), BGR or gray, turned upright as its EXIF says; alpha is left out.

    Raises:
        SourceError: the file is missing, empty, truncated or no picture, or has other channels or depth.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
    if not data.size:
        raise SourceError(f"{path} is empty (0 bytes); copy it again or take it out of the folder")
    image = decode_picture(data.tobytes())
    if image is None:
        raise SourceError(f"{path} is damaged or not a picture; copy it again or take it out of the folder")
    if image.shape[2] != channels:
        raise SourceError(f"{path} has {image.shape[2]} channel(s), {channels} wanted; convert it first")
    if image.dtype != np.dtype(dtype):
        raise SourceError(f"{path} holds {image.dtype} values, {dtype} wanted; convert it first")
    return image


def decode_picture(content: bytes) -> Frame | None:
    """A picture's file as (H, W, C) in its own channels and depth, turned upright; None where it is damaged."""
    # libjpeg fills what is missing with gray and only warns, so a cut JPEG is found by its missing end.
    if content.startswith(_START_OF_IMAGE) and content.rfind(_END_OF_IMAGE) < content.rfind(_START_OF_SCAN):
        return None
    try:
        image: Array | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error:
        return None
    if image is None:
        return None
    return np.ascontiguousarray(image if image.ndim == 3 else image[:, :, None])


def write_image(path: str | Path, frame: Frame) -> Path:
    """Write a frame in the format of the suffix, whole or not at all; return its path.

    Raises:
        SinkError: the format is unknown or cannot hold the frame, or the folder cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise SinkError(f"{path} has no picture format; these are written: {', '.join(IMAGE_SUFFIXES)}")
    partial = path.with_name(path.name + ".tmp")
    try:
        done, data = cv2.imencode(path.suffix.lower(), frame)
        if not done:
            raise SinkError(f"{path} cannot hold a {frame.shape} {frame.dtype} frame; use .png")
        partial.write_bytes(data.tobytes())
        os.replace(partial, path)
    except cv2.error as error:
        raise SinkError(f"{path}: cannot encode a {frame.shape} {frame.dtype} frame ({error.err})") from error
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SinkError(f"cannot write {path}: {error.strerror or error}") from error
    return path
