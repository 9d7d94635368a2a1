"""Trains a shape on the teacher's answers, makes its INT8 engine, and judges that engine by images held out."""

from __future__ import annotations

import contextlib
import io
import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.training import seconds_per_image
from benchmarks.search.probes import SYSTEM
from benchmarks.search.shapes import Shape
from benchmarks.search.teacher import Lessons
from calibration import quantize
from calibration.fidelity import psnr, ssim
from export import onnx as export
from models.recipe import Recipe, make_recipe, read_recipe
from models.train import train
from runtime.engine import infer, open_engine
from runtime.errors import GateError
from runtime.images import list_images, read_image

_MINIMUM_KIMG = 0.02


@dataclass(frozen=True)
class Training:
    """How every student is trained."""

    minutes: float = 4.0  # of CPU time
    kimg: float = 0.0  # instead of minutes, where it is not 0
    crop: int = 128  # side of the training crops
    batch: int = 4
    qat_after: float = 0.7
    seed: int = 1
    perception_weights: str = ""  # file of SqueezeNet's weights; "" = no perceptual term


@dataclass(frozen=True)
class Student:
    """A trained shape and what was found of it; quality is that of its INT8 engine against the teacher's answers."""

    shape: Shape
    predicted_ms: float
    folder: str
    kimg: float
    psnr: float
    ssim: float
    gate: str  # "passed", or why INT8 was refused
    measured_ms: float | None = None

    def as_json(self) -> dict[str, Any]:
        """As it stands in search.json."""
        return {**asdict(self), "name": self.shape.name}


def student_recipe(shape: Shape, lessons: Lessons, channels: int, training: Training) -> Recipe:
    """What `models.train` is given; kept in the student's folder as recipe.toml."""
    terms: dict[str, Any] = {"lambda_channel": 0.0, "lambda_style": 0.0, "lambda_tv": 0.0, "lambda_pixel": 10.0}
    terms |= {"lambda_ssim": 5.0, "lambda_feature": 0.0}
    if training.perception_weights:
        terms |= {"lambda_unit": 1.0, "perception_weights": training.perception_weights}
    values = {
        "system": SYSTEM, "data_a": str(lessons.images), "data_b": str(lessons.answers), "least_images": 1,
        "channels": channels,
        "size": training.crop, "load_size": 0, "flip": False, "batch": training.batch, "seed": training.seed,
        "ema": 0.99, "lr": 1e-3, "qat_after": training.qat_after, "norm": "none", "branched": True,
        "total_kimg": training.kimg or 1.0, "save_every_kimg": 1e6, "grid_every_kimg": 1e6,
        **terms, **shape.settings,
    }  # fmt: skip
    recipe = make_recipe(values)
    if training.kimg:
        return recipe
    kimg = training.minutes * 60 / seconds_per_image(recipe) / 1000
    return make_recipe(values | {"total_kimg": round(max(_MINIMUM_KIMG, kimg), 3)})


def make_student(
    shape: Shape, predicted_ms: float, given: tuple[Lessons, tuple[int, int], int], training: Training, folder: Path
) -> Student:
    """Train, export, quantise and judge; `given`: the lessons, the engine's size (H, W) and its channels."""
    lessons, size, channels = given
    begun = folder / "recipe.toml"  # of a search that was stopped: its length stays
    recipe = read_recipe(begun) if begun.is_file() else student_recipe(shape, lessons, channels, training)
    train(recipe, folder)
    graph, engine = folder / "student.onnx", folder / "student_int8.onnx"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        checkpoint = str(folder / "checkpoint.safetensors")
        export.main([checkpoint, "--size", f"{size[0]}x{size[1]}", "--out", str(graph), "--json"])
        verdict = _quantise(graph, lessons.frames, engine)
    (folder / "log.txt").write_text(said.getvalue(), encoding="utf-8")
    quality = judge(engine if engine.is_file() else graph, lessons)
    return Student(shape, predicted_ms, folder.name, recipe.train.total_kimg, *quality, verdict)


def _quantise(graph: Path, frames: Path, out: Path) -> str:
    """ "passed", or the gate's reasons."""
    count = len(list_images(frames))
    counts = ["--calibration-frames", str(min(48, count - 8)), "--gate-frames", "8"]
    given = [str(graph), "--frames", str(frames), "--precision", "int8", "--out", str(out), "--quiet", "--json"]
    try:
        quantize.main([*given, *counts])
    except GateError as error:
        return str(error)
    return "passed"


def judge(engine_path: Path, lessons: Lessons) -> tuple[float, float]:
    """Mean PSNR (dB) and SSIM of an engine against the teacher's answers to the images held out."""
    rows = []
    with closing(open_engine(engine_path)) as engine:
        name = engine.manifest.translated[0].name
        for path in list_images(lessons.held_images):
            port = engine.manifest.frame
            assert port is not None
            answer = read_image(lessons.held_answers / path.name, port.channels)
            picture = infer(engine, {"frame": read_image(path, port.channels)[None]})[name][0]
            rows.append((psnr(picture, answer), ssim(picture, answer)))
    decibels, similarity = np.mean(rows, axis=0)
    return round(float(decibels), 3), round(float(similarity), 4)


def write_json(folder: Path, facts: dict[str, Any]) -> None:
    """search.json, whole or not at all."""
    partial = folder / "search.json.tmp"
    partial.write_text(json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8")
    partial.replace(folder / "search.json")
