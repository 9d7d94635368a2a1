"""What has to be made of the shared images before a training can read it: frames, labels, other pairs and folders."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu

from models.data.arrays import open_pictures
from models.data.images import list_images
from models.errors import DataError

Picture = NDArray[np.uint8]  # (H, W, 3) BGR, or (H, W)
FILES = 100  # digits
WINDOW = 80  # px of a tile around a flaw
TRIES = 50  # places of a tile that are tried for a sound one
TISSUES = ("air", "soft", "dense")  # by its level in an X-ray


def prepare(name: str, data: Path, work: Path) -> None:
    """Make {work}/NAME, if a task reads it and it is not there yet; whole or not at all, also beside other runs."""
    makers = {
        "two_frames": _two_frames, "steel": _steel, "tissue": _tissue, "either": _either, "clip": _clip,
        "digits": _digits, "flaws": _flaws,
    }  # fmt: skip
    if name not in makers or (work / name).exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{name}.", dir=work) as folder:
        partial = Path(folder) / name
        partial.mkdir()
        makers[name](data, partial)
        try:
            partial.rename(work / name)
        except OSError:  # another run made it meanwhile: two full folders do not replace each other
            if not (work / name).exists():
                raise


def _two_frames(data: Path, out: Path) -> None:
    """trainA/ and trainB/ with one frame each: bottles, and a street."""
    for side, (file, number) in {"trainA": ("bottle-detection.mp4", 300), "trainB": ("car-detection.mp4", 100)}.items():
        for k, picture in enumerate(_read_clip(data / "video" / file)):
            if k == number:
                _write(out / side / f"{file.split('-')[0]}_{number:04d}.png", picture)
                break


def _steel(data: Path, out: Path) -> None:
    """One folder of all classes, since TUNIT reads no label; the name keeps the class for the judge."""
    folders = sorted(path for path in (data / "steel_defects" / "train").iterdir() if path.is_dir())
    if not folders:
        raise DataError(f"{data / 'steel_defects' / 'train'} holds no class folder; give the shared data with --data")
    for folder in folders:
        for path in sorted(folder.glob("*.jpg")):
            shutil.copy(path, out / f"{folder.name}_{path.name}")


def tissue_levels(clean: Path) -> NDArray[np.float64]:
    """The levels between the classes of TISSUES in a folder of clean X-rays (Otsu's, of all of them)."""
    pictures = np.stack([_gray(path) for path in list_images(clean)])
    levels = threshold_multiotsu(pictures, classes=len(TISSUES))  # type: ignore[no-untyped-call]
    return np.asarray(levels, np.float64)


def _gray(path: Path) -> Picture:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def tissue(picture: Picture, levels: NDArray[np.float64]) -> NDArray[np.int64]:
    """(H, W) indices into TISSUES."""
    return np.digitize(picture, levels).astype(np.int64)


def _tissue(data: Path, out: Path) -> None:
    """Clean X-rays with the class of each pixel, dim ones without; the held-out dim ones have the classes too."""
    pairs = data / "xray_lowdose"  # A is dim and noisy, B is clean
    levels = tissue_levels(pairs / "trainB")
    for part in ("train", "test"):
        for ours, theirs in ("AB", "BA"):
            shutil.copytree(pairs / f"{part}{theirs}", out / f"{part}{ours}")
    for part, side in (("train", "A"), ("test", "B")):
        for path in list_images(pairs / f"{part}B"):
            classes = tissue(_gray(path), levels)
            _write(out / f"{part}{side}_labels" / f"{path.stem}.png", classes.astype(np.uint8))


def _either(data: Path, out: Path) -> None:
    """Pairs with two right answers: of each T1 slice its T2 slice, and its FLAIR slice."""
    for contrast in ("T2", "FLAIR"):
        for path in list_images(data / "mr_contrasts" / "train" / "T1"):
            for side, shown in (("trainA", "T1"), ("trainB", contrast)):
                copy = out / side / f"{path.stem}_{contrast}{path.suffix}"
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path.parents[1] / shown / path.name, copy)


def _flaws(data: Path, out: Path) -> None:
    """Windows of tiles with masks: A around each tile's greatest blowhole, B at a sound place of it or of a free tile.

    A window of B gets the outline of one of A's blowholes: without instances in B, its critic would tell translations
    by their having one, and without A's tiles by their light, and never look at what is inside the outline.
    """
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        outlines: list[Picture] = []
        for kind in ("blowhole", "free"):
            folder = data / "magnetic_tile" / part / kind
            for path in list_images(folder):
                tile, mask = _gray(path), _gray(folder.with_name(f"{kind}_mask") / f"{path.stem}.png")
                _, _, stats, centres = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8))
                if len(stats) > 1:
                    flaw = _window(centres[1 + stats[1:, cv2.CC_STAT_AREA].argmax()], tile)
                    outlines.append(mask[flaw])
                    _write(out / f"{part}A" / path.name, tile[flaw])
                    _write(out / f"{part}A_mask" / f"{path.stem}.png", mask[flaw])
                places = (_window(rng.uniform(0, mask.shape[::-1]), tile) for _ in range(TRIES))
                if (sound := next((place for place in places if not mask[place].any()), None)) is not None:
                    _write(out / f"{part}B" / path.name, tile[sound])
                    _write(out / f"{part}B_mask" / f"{path.stem}.png", outlines[rng.integers(len(outlines))])


def _window(centre: NDArray[np.float64], tile: Picture) -> tuple[slice, slice]:
    """Rows and columns of WINDOW px around a centre (x, y), moved into the tile."""
    x, y = np.clip(np.rint(centre) - WINDOW // 2, 0, np.array(tile.shape[::-1]) - WINDOW).astype(int)
    return slice(y, y + WINDOW), slice(x, x + WINDOW)


def _clip(data: Path, out: Path) -> None:
    """Frames of the bottling line, to calibrate with what learned from one of them."""
    for k, picture in enumerate(_read_clip(data / "video" / "bottle-detection.mp4")):
        if k % 10 == 0:
            _write(out / f"{k:04d}.png", picture)


def _digits(data: Path, out: Path) -> None:
    """Digits as files."""
    digits = open_pictures(data / "digits" / "t10k-images-idx3-ubyte.gz", 1, 64)
    for k in range(FILES):
        _write(out / f"{k:04d}.png", np.asarray(digits[k], np.uint8))


def _read_clip(path: Path) -> Iterator[Picture]:
    """All frames, BGR, in their own size."""
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)
    except (OSError, av.error.FFmpegError) as error:
        raise DataError(f"cannot read the clip {path} ({error}); give the real images with --data") from error


def _write(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
