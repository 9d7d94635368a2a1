"""From the clips to the folders that training, calibration and evaluation read, and to the demo's dark clip.

    python -m examples.bottling.prepare --video ../shared/data/video --out work/bottling

trainA/ and trainB/   degraded and clean, UNPAIRED: frames of the first two thirds of both clips, taken in turn
                      for one side or the other, so that no frame stands on both sides
valA/ and valB/       degraded and clean, registered pairs of equal name, from the last thirds
stillA/ and stillB/   the same, consecutive frames from the start of the bottle clip's last third: for the flicker
carA/ and carB/       the same of the car clip, no frame of which is trained on
clip.mp4              the degraded last third of the bottle clip, as a camera would stream it (H.264)

Every image is a PNG, 640 wide and 360 high. The noise of a frame is seeded by its clip and number (`noise_seed`),
so a second run gives the same bytes, and the noise of consecutive frames is independent.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from examples.bottling.degrade import degrade
from runtime.chroma import EXACT
from runtime.errors import SourceError, run_command

Picture = NDArray[np.uint8]  # (360, 640, 3) BGR

WIDTH, HEIGHT = 640, 360
# Name in our folders → file, number of its frames. The order numbers the clips in `noise_seed`.
CLIPS = {
    "bottle": ("bottle-detection.mp4", 1189),
    "person": ("one-by-one-person-detection.mp4", 1394),
    "car": ("car-detection.mp4", 377),
}
TRAINED = ("bottle", "person")
PER_SIDE = 100  # training frames of one clip on one side
HELD_OUT = 24  # registered pairs of one trained clip
CAR = 16
STILL = 30  # consecutive frames of the bottle clip


def held_out_start(frames: int) -> int:
    """The first frame of the last third, which nothing is trained, tuned or calibrated on."""
    return frames * 2 // 3


def noise_seed(clip: str, number: int) -> int:
    """A seed of its own for every frame of every clip."""
    return (list(CLIPS).index(clip) + 1) * 1_000_000 + number


def spread(first: int, last: int, count: int) -> list[int]:
    """`count` different frame numbers spread evenly over first ≤ number < last."""
    return [int(number) for number in np.linspace(first, last - 1, count).round()]


def training_numbers(frames: int) -> tuple[list[int], list[int]]:
    """Numbers of the frames of side A and of side B; no number is in both."""
    numbers = spread(0, held_out_start(frames), 2 * PER_SIDE)
    return numbers[0::2], numbers[1::2]


def read_clip(path: Path) -> Iterator[Picture]:
    """All frames of a clip, resized to 640 by 360.

    Raises:
        SourceError: the file is absent or not a video.
    """
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield _resize(np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8))
    except (OSError, av.error.FFmpegError) as error:
        raise SourceError(f"cannot read the clip {path} ({error}): copy it again") from error


def _resize(picture: Picture) -> Picture:
    if picture.shape[:2] == (HEIGHT, WIDTH):
        return picture
    return np.asarray(cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def folders(clip: str) -> dict[str, list[int]]:
    """Folder → numbers of the frames of a clip that it takes; a name that ends in A means degraded."""
    frames = CLIPS[clip][1]
    if clip not in TRAINED:
        unseen = spread(0, frames, CAR)
        return {"carA": unseen, "carB": unseen}
    side_a, side_b = training_numbers(frames)
    start = held_out_start(frames)
    held_out = spread(start, frames, HELD_OUT)
    still = list(range(start, start + STILL)) if clip == "bottle" else []
    return {"trainA": side_a, "trainB": side_b, "valA": held_out, "valB": held_out, "stillA": still, "stillB": still}


def write_frames(video: Path, clip: str, out: Path) -> None:
    """Write the chosen frames of one clip into their folders."""
    file, frames = CLIPS[clip]
    wanted = {folder: set(numbers) for folder, numbers in folders(clip).items()}
    for number, picture in enumerate(tqdm(read_clip(video / file), total=frames, desc=clip, unit="frame")):
        for folder in [name for name, numbers in wanted.items() if number in numbers]:
            shown = degrade(picture, noise_seed(clip, number)) if folder.endswith("A") else picture
            (out / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(out / folder / f"{clip}_{number:04d}.png"), shown)


def degraded_last_third(video: Path, clip: str) -> Iterator[Picture]:
    """The degraded frames of the held-out third, in order."""
    file, frames = CLIPS[clip]
    start = held_out_start(frames)
    for number, picture in enumerate(tqdm(read_clip(video / file), total=frames, desc="clip", unit="frame")):
        if number >= start:
            yield degrade(picture, noise_seed(clip, number))


def clip_rate(path: Path) -> Fraction:
    """Frames per second of a clip."""
    with av.open(str(path)) as container:
        return Fraction(container.streams.video[0].average_rate or 30)


def write_clip(pictures: Iterable[Picture], path: Path, rate: Fraction, crf: int) -> None:
    """Encode as H.264 yuv420p (x264, tuned to keep grain), under a temporary name first."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    with av.open(str(partial), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryslow", "tune": "grain"}
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", interpolation=EXACT)))
        container.mux(stream.encode())
    partial.replace(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.bottling.prepare",
        description="Extract and degrade the frames of the bottling example.",
        epilog="example: python -m examples.bottling.prepare --video ../shared/data/video --out WORK",
    )
    parser.add_argument("--video", type=Path, required=True, help="folder of the three clips")
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    parser.add_argument("--crf", type=int, default=26, help="x264 quality of clip.mp4 (26; lower is better)")
    return parser.parse_args()


def main() -> int:
    """Fill the folders, then write the clip."""
    arguments = _arguments()
    for file, _ in CLIPS.values():
        if not (arguments.video / file).is_file():
            raise SourceError(f"there is no clip {arguments.video / file}; name its folder with --video")
    for clip in CLIPS:
        write_frames(arguments.video, clip, arguments.out)
    rate = clip_rate(arguments.video / CLIPS["bottle"][0])
    pictures = degraded_last_third(arguments.video, "bottle")
    write_clip(pictures, arguments.out / "clip.mp4", rate, arguments.crf)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
