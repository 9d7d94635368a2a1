"""What metrics need beside the pictures, and what is said, in one sentence, where it is not given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The command's arguments, as far as they say what is given."""

    source: str | None = None
    pairs: str | None = None
    target: str | None = None
    train: str | None = None
    labels: str | None = None
    weights: Path | None = None
    inception: Path | None = None
    classifier: Path | None = None
    segmenter: Path | None = None
    classes: str | None = None
    engines: bool = False
    consecutive: bool = False
    draws: bool = False  # some column has several pictures of one source


def missing(needs: Sequence[str], options: Options) -> str:
    """Why a metric cannot be answered; "" when it can."""
    from benchmarks.quality.inception_weights import WAY

    said = {
        "pairs": (options.pairs, "it compares with the true picture: give the folder of true ones with --pairs"),
        "source": (options.source, "it compares with the source: give it with --source"),
        "target": (options.target or options.pairs,
                   "it compares with real pictures of the target domain: give their folder with --target"),
        "train": (options.train, "it looks for copies of the training images: give their folder with --train"),
        "weights": (options.weights, "it needs SqueezeNet's and LPIPS' weights: give their folder with --weights"),
        "inception": (options.inception, f"it is defined on Inception v3: {WAY}"),
        "classifier": (options.classifier, "a classifier judges it: give its engine or ONNX with --classifier"),
        "classes": (options.classes, "name the class that the translations should have with --classes"),
        "segmenter": (options.segmenter, "a segmenter judges it: give its engine or ONNX with --segmenter"),
        "labels": (options.labels, "it compares with maps of class numbers: give their folder with --labels"),
        "engine": (options.engines, "it feeds flat frames to the engine: give --engine, finished pictures will not do"),
        "consecutive": (options.consecutive, "it compares consecutive frames: give a video as --source, or "
                        "--consecutive where the pictures, sorted by name, are some"),
        "draws": (options.draws, "it compares several pictures of one source: give an engine with a control to draw, "
                  "or a folder with names like NAME_seed0.png, as runtime.sample writes them"),
    }  # fmt: skip
    return next((sentence for need in needs for present, sentence in [said[need]] if not present), "")
