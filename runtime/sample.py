"""Run an engine on draws and on pictures, and keep or print what it gives.

    python -m runtime.sample --engine dcgan.onnx --count 64 --seed 7 --out faces.png
    python -m runtime.sample --engine munit.onnx --source photo.png --count 8 --out styles.png
    python -m runtime.sample --engine classifier.onnx --source scans/

A generator of noise gives `--count` pictures (CoGAN: pairs), one a seed. An engine that takes pictures is run on those
of `--source`: translations are kept, classes printed, segmentations drawn. What can be drawn and is not set by
`--control` is drawn `--count` times for each picture. `--out` is a new folder, or a picture that holds all as a grid.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.class_maps import best_classes, draw_classes
from runtime.companions import board_of
from runtime.contact_sheet import contact_sheet
from runtime.control_board import ControlBoard
from runtime.engine import BACKENDS, Engine, infer, open_engine
from runtime.errors import DONE, ControlError, EngineError, SinkError, SourceError, run_command
from runtime.fit import FITS, fit_frame
from runtime.frames import Array, Frame
from runtime.images import IMAGE_SUFFIXES, list_images, read_image, write_image
from runtime.manifest import Manifest, read_manifest
from runtime.sinks.folder import open_folder
from runtime.sinks.sink import Mark

_LONG = 64  # numbers of an output that are still printed


@dataclass(frozen=True)
class SampleOptions:
    """One run."""

    engine: Path
    out: Path | None = None  # a folder that is not there yet, or a picture; None: only what can be printed
    source: str | None = None  # a picture, a folder or a glob
    controls: tuple[str, ...] = ()
    count: int = 1
    seed: int = 0
    fit: str = "letterbox"
    backend: str | None = None


@dataclass(frozen=True)
class Sample:
    """What the engine gave once."""

    title: str
    original: Frame | None  # as the engine took it
    pictures: list[Frame]
    facts: dict[str, Any]  # classes, styles


def sample(options: SampleOptions) -> list[dict[str, Any]]:
    """Run the engine; return the facts of every sample, in order, after the pictures were written.

    Raises:
        InlocoError: whatever is wrong, in one sentence; nothing is left behind then.
    """
    manifest = read_manifest(options.engine)
    _check(options, manifest)
    with ExitStack() as stack:
        board = stack.enter_context(board_of(options.engine, options.controls, options.fit, options.backend))
        engine = stack.enter_context(closing(open_engine(options.engine, options.backend)))
        samples = _run(engine, board, options)
        return [_facts(made) for made in samples] if options.out is None else _write(samples, options.out)


def _check(options: SampleOptions, manifest: Manifest) -> None:
    if manifest.frame is None and options.source is not None:
        raise SourceError(f"{manifest.file} takes no picture: leave --source out")
    if manifest.frame is not None and options.source is None:
        raise SourceError(f"{manifest.file} takes pictures: name one, a folder or a glob with --source")
    pictured = manifest.translated or any(output.kind == "segmentation" for output in manifest.outputs)
    if pictured and options.out is None:
        raise SinkError(f"{manifest.file} gives pictures: name a new folder or a picture.png with --out")


def _run(engine: Engine, board: ControlBoard, options: SampleOptions) -> Iterator[Sample]:
    """One sample for each picture and seed."""
    given = {text.partition("=")[0] for text in options.controls}
    drawn = [control.name for control in board.controls if control.distribution and control.name not in given]
    seeds = range(options.seed, options.seed + (options.count if drawn else 1))
    for name, frame in _frames(options, engine.manifest):
        for seed in seeds:
            board.update([f"{control}=seed:{seed}" for control in drawn])
            inputs: dict[str, Array] = board.values(frame, name)
            if frame is not None and engine.manifest.frame is not None:
                inputs[engine.manifest.frame.name] = frame[None]
            title = "_".join([name] * bool(name) + [f"seed{seed}"] * bool(drawn)) or "sample"
            yield _sample(title, frame, infer(engine, inputs), engine.manifest)


def _frames(options: SampleOptions, manifest: Manifest) -> Iterator[tuple[str, Frame | None]]:
    port = manifest.frame
    if port is None or options.source is None:
        yield "", None
        return
    path = Path(options.source)
    for picture in [path] if path.is_file() else list_images(options.source):
        frame = read_image(picture, port.channels, port.dtype)
        yield picture.stem, fit_frame(frame, port.height, port.width, options.fit)


def _sample(title: str, frame: Frame | None, outputs: Mapping[str, Array], manifest: Manifest) -> Sample:
    pictures = [outputs[port.name][0].copy() for port in manifest.translated]
    facts: dict[str, Any] = {}
    for output in manifest.outputs:
        value = outputs[output.name]
        if output.kind == "classes":
            facts[output.name] = best_classes(value, output.names)
        elif output.kind == "segmentation":
            pictures.append(draw_classes(value))
            facts[output.name] = "drawn"
        else:
            facts[output.name] = value.ravel().tolist() if value.size <= _LONG else list(value.shape)
    return Sample(title, frame, pictures, facts)


def _facts(made: Sample) -> dict[str, Any]:
    return {"sample": made.title, **made.facts}


def _write(samples: Iterator[Sample], out: Path) -> list[dict[str, Any]]:
    if out.suffix.lower() in IMAGE_SUFFIXES:
        if not out.parent.is_dir():
            raise SinkError(f"there is no folder {out.parent} to write {out.name} into: make it first")
        every = list(samples)
        write_image(out, contact_sheet([[*_shown(made.original), *made.pictures] for made in every]))
        return [_facts(made) for made in every]
    sink, facts = open_folder(str(out)), []
    try:
        for number, made in enumerate(samples):
            facts.append(_facts(made))
            for index, picture in enumerate(made.pictures):
                sink.write(picture, Mark(number, 0.0, made.title + (f"_{index}" if index else "")))
        sink.close()
    finally:
        sink.abort()
    return facts


def _shown(original: Frame | None) -> list[Frame]:
    return [] if original is None else [original]


def _line(facts: Mapping[str, Any]) -> str:
    """One sample for people."""
    told = []
    for name, value in facts.items():
        if isinstance(value, dict):
            told.append(", ".join(f"{label} {share:.1%}" for label, share in value.items()))
        elif name != "sample":
            told.append(f"{name} {_numbers(value)}")
    return f"{facts['sample']}: {'; '.join(told)}"


def _numbers(value: Any) -> str:
    return " ".join(f"{number:.4g}" for number in value) if isinstance(value, list) else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.sample", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--engine", type=Path, required=True, help="engine with its manifest beside it")
    add("--out", type=Path, metavar="DIR|GRID.png", help="new folder, or one picture that holds all")
    add("--source", metavar="PICTURES", help="picture, folder or glob, for engines that take pictures")
    add("--count", type=int, default=1, metavar="N", help="draws (of each picture); default 1")
    add("--seed", type=int, default=0, metavar="S", help="of the first draw; default 0")
    add("--control", action="append", default=[], metavar="NAME=VALUE", help="as for runtime.stream")
    add("--fit", choices=FITS, default="letterbox", help="for pictures of another size than the engine's")
    add("--backend", help=f"instead of the manifest's: {', '.join(BACKENDS)}")
    add("--json", action="store_true", help="print one JSON array")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; `arguments` default to the process's."""
    options = _parser().parse_args(arguments)
    if options.count < 1 or options.seed < 0:
        raise ControlError("--count is at least 1, and --seed at least 0")
    if options.backend is not None and options.backend not in BACKENDS:
        raise EngineError(f"unknown backend {options.backend!r}; there are {', '.join(BACKENDS)}")
    facts = sample(SampleOptions(
        options.engine, options.out, options.source, tuple(options.control), options.count, options.seed, options.fit,
        options.backend,
    ))  # fmt: skip
    if options.json:
        print(json.dumps(facts))
        return DONE
    for entry in facts:
        if len(entry) > 1:
            print(_line(entry))
    if options.out is not None:
        print(f"{len(facts)} sample(s) in {options.out}", file=sys.stderr)
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
