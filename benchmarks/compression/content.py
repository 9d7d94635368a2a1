"""Content for a style network and its student: 256×256 pictures of animals and of the clips, in PNG.

    python -m benchmarks.compression.content --data ../shared/data --out work/content

tiles/   a 128×128 part of each training picture: a student learns from four of them in the time of one picture
train/   pictures of cats and dogs as they are and parts of them, mirrored or not; random parts of frames of the first
         two thirds of the clips
test/    pictures held out: those of the data set's own test folders, and frames of the last thirds; whole, or cut at
         the centre

A picture's part is drawn by its name and number, so a second run gives the same bytes. A teacher's answers to the
pictures are made by its engine, once: they are not mirrored in training, for a teacher need not be symmetric.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime.errors import DONE, SourceError, run_command

SIZE = 256
CLIPS = {"bottle": "bottle-detection.mp4", "person": "one-by-one-person-detection.mp4", "car": "car-detection.mp4"}
TILE = 128
PARTS = 3  # of a training picture of an animal
FRAMES = 200  # training frames of a clip, two parts of each
HELD_OUT_FRAMES = 12  # of a clip

Picture = NDArray[np.uint8]  # (H, W, 3) BGR
Named = Iterator[tuple[str, Picture]]


def part(picture: Picture, name: str, smallest: float) -> Picture:
    """A random square part of at least `smallest` of the shorter side, mirrored or not, as (SIZE, SIZE, 3)."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    height, width = picture.shape[:2]
    side = round(min(height, width) * random.uniform(smallest, 1))
    top, left = (int(random.integers(0, extent - side + 1)) for extent in (height, width))
    cut = picture[top : top + side, left : left + side]
    return sized(cut[:, ::-1] if random.random() < 0.5 else cut)


def tile(picture: Picture, name: str) -> Picture:
    """A random part of a training picture, (TILE, TILE, 3), not resized."""
    random = np.random.default_rng(zlib.crc32(f"{name}.png".encode()))
    top, left = (int(corner) for corner in random.integers(0, SIZE - TILE + 1, 2))
    return picture[top : top + TILE, left : left + TILE]


def sized(square: Picture) -> Picture:
    """A square picture as (SIZE, SIZE, 3)."""
    way = cv2.INTER_AREA if len(square) > SIZE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(square), (SIZE, SIZE), interpolation=way), np.uint8)


def centre(picture: Picture) -> Picture:
    """The greatest square at the centre as (SIZE, SIZE, 3)."""
    side = min(picture.shape[:2])
    top, left = ((extent - side) // 2 for extent in picture.shape[:2])
    return sized(picture[top : top + side, left : left + side])


def animals(data: Path, split: str) -> Named:
    """The pictures of cats_dogs by name."""
    files = sorted((data / "cats_dogs").glob(f"{split}[AB]/*.jpg"))
    if not files:
        raise SourceError(f"{data} holds no cats_dogs/{split}A: name the folder of the shared data")
    for file in files:
        yield f"{file.parent.name}_{file.stem}", np.asarray(cv2.imread(str(file)), np.uint8)


def clip_frames(data: Path, clip: str, held_out: bool) -> Named:
    """Frames spread over the last third of a clip, or over what comes before it."""
    path = data / "video" / CLIPS[clip]
    try:
        with av.open(str(path)) as file:
            total = file.streams.video[0].frames
            first, last, count = (total * 2 // 3, total, HELD_OUT_FRAMES) if held_out else (0, total * 2 // 3, FRAMES)
            wanted = set(np.linspace(first, last - 1, count).astype(int).tolist())
            for number, frame in enumerate(file.decode(video=0)):
                if number in wanted:
                    yield f"{clip}_{number:04d}", np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    except av.FFmpegError as error:
        raise SourceError(f"cannot read the clip {path}: {error}") from error


def training(data: Path) -> Named:
    """Every training picture."""
    for name, picture in animals(data, "train"):
        yield f"{name}_0", centre(picture)
        for k in range(1, PARTS):
            yield f"{name}_{k}", part(picture, f"{name}_{k}", 0.55)
    for clip in CLIPS:
        for name, picture in clip_frames(data, clip, held_out=False):
            for k in range(2):
                yield f"{name}_{k}", part(picture, f"{name}_{k}", 0.5)


def held_out(data: Path) -> Named:
    """Every held-out picture."""
    for name, picture in animals(data, "test"):
        yield name, centre(picture)
    for clip in CLIPS:
        for name, picture in clip_frames(data, clip, held_out=True):
            yield name, centre(picture)


def write(folder: Path, pictures: Named) -> None:
    """Every picture as a PNG of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in tqdm(pictures, desc=f"writing {folder}", unit="picture"):
        cv2.imwrite(str(folder / f"{name}.png"), picture)


def main() -> int:
    """Write the folders."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compression.content", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder with cats_dogs/ and video/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write train/, tiles/ and test/ into")
    args = parser.parse_args()
    write(args.out / "train", training(args.data))
    write(args.out / "tiles", ((name, tile(picture, name)) for name, picture in training(args.data)))
    write(args.out / "test", held_out(args.data))
    print(args.out)
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
