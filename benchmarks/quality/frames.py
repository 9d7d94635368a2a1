"""A video as a folder of its frames, so that everything behind it reads pictures."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from benchmarks.quality.pictures import Pictures
from runtime.errors import SourceError
from runtime.images import write_image
from runtime.manifest import ImagePort
from runtime.sources import open_source

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v")


def is_video(where: str | None) -> bool:
    """Whether it names a file that is one by its suffix."""
    return where is not None and Path(where).suffix.lower() in VIDEO_SUFFIXES


def unpacked(video: str, folder: Path, frames: int) -> Pictures:
    """The first `frames` frames as PNG files in `folder`, which is made.

    Raises:
        SourceError: it is no video, or broken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    with closing(open_source(video, ImagePort("frame", 0, 0, 3))) as source:
        for number in tqdm(range(frames), desc=Path(video).name, unit="frame", leave=False):
            shot = source.read()
            if shot is None:
                break
            paths.append(write_image(folder / f"frame_{number:05}.png", shot.frame))
    if not paths:
        raise SourceError(f"{video} holds no frame; copy it again")
    return Pictures(paths)
