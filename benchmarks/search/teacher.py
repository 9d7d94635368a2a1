"""Whom the students follow: an engine that answers every image once, so that it may be anything that runs."""

from __future__ import annotations

import contextlib
import io
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
from tqdm import tqdm

from export import onnx as export
from models.data.enough import judge_amount
from models.data.places import DataConfig
from runtime.controls import default_value
from runtime.engine import infer, open_engine
from runtime.errors import EngineError
from runtime.fit import fit_frame
from runtime.frames import Frame
from runtime.images import list_images, read_image
from runtime.manifest import Manifest, verify_engine

HELD_OUT = 0.1  # share of the images that judge and are not trained on
_FEWEST_HELD_OUT = 2
_FRAMES = 24  # what calibration needs; fewer images are turned over to make as many


@dataclass(frozen=True)
class Lessons:
    """Folders of images and the teacher's answers under the same names."""

    images: Path
    answers: Path
    held_images: Path
    held_answers: Path
    frames: Path  # to calibrate and gate on
    count: int


def teacher_engine(teacher: Path, size: tuple[int, int], folder: Path) -> Path:
    """The engine of a teacher: itself, or what a checkpoint exports to at `size` (H, W).

    Raises:
        EngineError: it does not map an image to one of the same size and channels, or needs controls without defaults.
        InlocoError: it cannot be read.
    """
    path = teacher
    if teacher.suffix != ".onnx" and teacher.suffix != ".plan":
        path = folder / "teacher.onnx"
        with contextlib.redirect_stdout(io.StringIO()):
            export.main([str(teacher), "--size", f"{size[0]}x{size[1]}", "--out", str(path), "--json"])
    check_teacher(verify_engine(path), teacher.name)
    return path


def check_teacher(manifest: Manifest, name: str) -> None:
    """Raise EngineError where a student of the compact family cannot follow."""
    frame, translated = manifest.frame, manifest.translated
    if frame is None or not translated:
        raise EngineError(f"{name} does not translate images; a student needs a teacher that does")
    if translated[0].shape != frame.shape:
        raise EngineError(
            f"{name} makes {_size(translated[0].shape)} of {_size(frame.shape)} images; a student keeps the size and "
            "the channels: give another teacher"
        )
    if frame.dtype != "uint8":
        raise EngineError(f"{name} takes {frame.dtype} images; students are trained on uint8: export it with --bits 8")


def _size(shape: tuple[int, int, int]) -> str:
    return "×".join(map(str, shape))


def ask(engine_path: Path, data: Path, folder: Path) -> tuple[Lessons, str]:
    """Let the teacher answer every image of `data` (a folder, or trainA/ in it); the lessons, and a warning or "".

    Raises:
        SourceError, DataError: there are no images, or too few.
    """
    where = data / "trainA" if (data / "trainA").is_dir() else data
    paths = list_images(where)
    warning = judge_amount(len(paths), DataConfig.least_images)
    places = {name: folder / name for name in ("images", "answers", "held_images", "held_answers", "frames")}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    lessons = Lessons(**places, count=len(paths))
    every = max(2, round(1 / max(HELD_OUT, _FEWEST_HELD_OUT / len(paths))))
    with closing(open_engine(engine_path)) as engine:
        port = engine.manifest.frame
        assert port is not None
        controls = {control.name: default_value(control) for control in engine.manifest.controls}
        for k, path in enumerate(tqdm(paths, desc="the teacher answers", unit="image", leave=False)):
            frame = fit_frame(read_image(path, port.channels), port.height, port.width, "crop")
            answer = infer(engine, {"frame": frame[None], **controls})[engine.manifest.translated[0].name][0]
            held = k % every == every - 1
            name = f"{k:05d}.png"
            cv2.imwrite(str((lessons.held_images if held else lessons.images) / name), frame)
            cv2.imwrite(str((lessons.held_answers if held else lessons.answers) / name), answer)
            _add_frames(lessons.frames, k, frame, turned=len(paths) < _FRAMES)
    return lessons, warning


def _add_frames(folder: Path, k: int, frame: Frame, turned: bool) -> None:
    """A frame for calibration, and its reflections where there are few."""
    cv2.imwrite(str(folder / f"{k:05d}.png"), frame)
    for way in (0, 1, -1) if turned else ():
        cv2.imwrite(str(folder / f"{k:05d}_{way}.png"), cv2.flip(frame, way))
