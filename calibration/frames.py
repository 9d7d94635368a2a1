"""Calibration frames: chosen from the user's folder with a seed, audited, and split from the frames that
judge.

Random data, duplicates or a handful of frames give ranges that look right and are not, so they are refused
here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime.errors import SourceError
from runtime.fit import fit_frame
from runtime.frames import Array, Frame
from runtime.images import list_images, read_image
from runtime.manifest import ImagePort, file_sha256

FEWEST = 16  # calibration frames
FEWEST_HELD_OUT = 4
THUMB = 16  # side of the thumbnails in which frames are compared
# Frames whose thumbnails differ by less (mean absolute difference, of 255) are one picture with another
# noise.
DUPLICATE = 1.0
# Correlation of neighbouring pixels, at full or quarter size: 0 ± 0.02 for white noise, whatever its
# strength.
NOISE_CORRELATION = 0.25
BLANK = 1.0  # standard deviation, of 255, below which a frame shows nothing
EXPOSURE_BINS = 8


@dataclass(frozen=True)
class Audit:
    """What was found in the folder."""

    files: int  # images in the folder
    read: int  # images read, in random order, until enough were found
    broken: tuple[str, ...]  # names of files that could not be read
    duplicates: int  # near-duplicates left out
    blank: int  # frames without content, left out
    correlation: float  # median correlation of neighbouring pixels
    exposure: tuple[int, ...]  # frames by mean level, in EXPOSURE_BINS equal bins from black to white
    clipped: float  # share of pixels at either end of the scale

    def warnings(self) -> list[str]:
        """Sentences for the user."""
        said = (
            [f"{len(self.broken)} unreadable image(s) skipped: {', '.join(self.broken[:3])}"]
            if self.broken
            else []
        )
        if self.clipped > 0.25:
            said.append(
                f"{self.clipped:.0%} of the pixels are black or white: are these frames well exposed?"
            )
        return said


@dataclass(frozen=True)
class Chosen:
    """Frames to measure ranges on and, disjoint from them, frames to judge with."""

    calibration: tuple[Path, ...]
    held_out: tuple[Path, ...]
    audit: Audit


def choose(
    where: str | Path, port: ImagePort, counts: tuple[int, int], seed: int = 0, fit: str = "crop"
) -> Chosen:
    """Choose `counts` = (calibration, held-out) distinct frames of a folder or glob; fewer where it has
    fewer.

    Raises:
        SourceError: no images, too few distinct ones, or random data.
    """
    paths = list_images(where)
    order = [paths[i] for i in np.random.default_rng(seed).permutation(len(paths))]
    search = _Search(port, fit)
    for path in search.distinct(order, sum(counts)):
        search.keep(path)
    found = len(search.kept)
    if found < FEWEST + FEWEST_HELD_OUT:
        raise SourceError(
            f"{where} has {found} distinct frames ({len(paths)} files, {search.duplicates} near-duplicates, "
            f"{search.blank} blank, {len(search.broken)} unreadable); calibration needs {FEWEST}, and "
            f"{FEWEST_HELD_OUT} held out to judge with: give more, and more varied, frames of the real camera"
        )
    audit = search.audit(len(paths))
    if audit.correlation < NOISE_CORRELATION:
        raise SourceError(
            f"{where} holds random data: neighbouring pixels are uncorrelated ({audit.correlation:.2f}); "
            "ranges of noise say nothing about pictures, give frames of the real camera"
        )
    held_out = min(counts[1], max(FEWEST_HELD_OUT, min(found // 3, found - FEWEST)))
    chosen = tuple(search.kept)
    return Chosen(chosen[held_out:][: counts[0]], chosen[:held_out], audit)


class _Search:
    """Goes through images and keeps those that show something new."""

    def __init__(self, port: ImagePort, fit: str) -> None:
        self.port, self.fit = port, fit
        self.kept: list[Path] = []
        self.broken: list[str] = []
        self.duplicates = self.blank = 0
        self._thumbs: list[NDArray[np.float32]] = []
        self._correlations: list[float] = []
        self._clipped: list[float] = []
        self._frame: Array = np.empty(0)

    def distinct(self, paths: list[Path], wanted: int) -> Iterator[Path]:
        """Paths of readable frames with content that are unlike all kept before, until `wanted` are kept."""
        for path in tqdm(paths, desc="choosing frames", unit="image", disable=None):
            if len(self.kept) >= wanted:
                return
            try:
                frame = read_image(path, self.port.channels, self.port.dtype)
            except SourceError:
                self.broken.append(path.name)
                continue
            self._frame = grey(fit_frame(frame, self.port.height, self.port.width, self.fit))
            if self._frame.std() < BLANK:
                self.blank += 1
            elif self._is_known():
                self.duplicates += 1
            else:
                yield path

    def keep(self, path: Path) -> None:
        """Keep the frame that `distinct` just gave."""
        self.kept.append(path)
        self._thumbs.append(_thumbnail(self._frame))
        self._correlations.append(correlation(self._frame))
        self._clipped.append(float(((self._frame < 1) | (self._frame > 254)).mean()))

    def audit(self, files: int) -> Audit:
        """What the search has seen."""
        levels = [float(thumb.mean()) for thumb in self._thumbs]
        exposure = np.histogram(levels, EXPOSURE_BINS, (0, 255))[0]
        read = len(self.kept) + self.duplicates + self.blank + len(self.broken)
        return Audit(
            files,
            read,
            tuple(self.broken),
            self.duplicates,
            self.blank,
            float(np.median(self._correlations)),
            tuple(int(count) for count in exposure),
            float(np.mean(self._clipped)),
        )

    def _is_known(self) -> bool:
        if not self._thumbs:
            return False
        differences = np.abs(np.stack(self._thumbs) - _thumbnail(self._frame)).mean(axis=(1, 2))
        return bool(differences.min() < DUPLICATE)


def grey(frame: Frame) -> NDArray[np.float32]:
    """Mean of the channels, (H, W), 0..255 whatever the type."""
    scale = 255.0 / np.iinfo(frame.dtype).max
    return np.asarray(frame.mean(axis=2, dtype=np.float32) * np.float32(scale), np.float32)


def correlation(image: NDArray[np.float32]) -> float:
    """Correlation of neighbouring pixels of a (H, W) image: the larger of full size and quarter size (where
    a noisy camera's picture shows and white noise still does not)."""
    height, width = image.shape
    quarter = cv2.resize(image, (max(width // 4, 4), max(height // 4, 4)), interpolation=cv2.INTER_AREA)
    return max(_lag_one(image), _lag_one(np.asarray(quarter, np.float32)))


def _lag_one(image: NDArray[np.float32]) -> float:
    centred = image - image.mean()
    power = float((centred**2).mean())
    if power == 0:
        return 0.0
    across = float((centred[:, 1:] * centred[:, :-1]).mean())
    down = float((centred[1:] * centred[:-1]).mean())
    return (across + down) / 2 / power


def _thumbnail(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.float32)


def list_text(paths: tuple[Path, ...]) -> str:
    """The list of calibration frames, one `sha256  name` per line: `sha256sum -c` reads it beside the
    frames."""
    return "".join(f"{file_sha256(path)}  {path.name}\n" for path in sorted(paths))
