"""Judge what engines make of pictures, or finished pictures, and write the report. Examples:

    python -m benchmarks.quality --engine cyclegan_int8.onnx cyclegan_fp16.onnx --source valA --pairs valB \\
        --weights weights --report out
    python -m benchmarks.quality --images ours=made theirs=other --target testB --weights weights --report out
    python -m benchmarks.quality --engine dcgan.onnx --metrics mode_collapse --report out

A column for each engine and folder, and one for the source itself. Without --metrics all are answered for which enough
is given; the report says which were left out, and why.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.machine import PACKAGES, describe_machine, package_versions
from benchmarks.quality.columns import Drawing, alike, engine_names, of_engine, of_folder, of_source
from benchmarks.quality.features import Features
from benchmarks.quality.frames import is_video, unpacked
from benchmarks.quality.judging import Facts, facts_of, judge
from benchmarks.quality.metric import Column, Given, Metric
from benchmarks.quality.needs import Options, missing
from benchmarks.quality.networks import RANGES, Networks
from benchmarks.quality.pictures import Pictures, open_folder
from benchmarks.quality.registry import METRICS, described
from benchmarks.quality.report import as_markdown, write_report
from benchmarks.subjects import parse_choice
from runtime.errors import DONE, FrameError, SourceError, run_command
from runtime.fit import FITS
from runtime.report import check_folder

SCHEMA = 1  # of report.json


def read_classes(text: str | None) -> dict[str, str]:
    """A class for all pictures, or a file of lines "picture class" → picture → class; "" = all.

    Raises:
        SourceError: a line has another form.
    """
    if text is None:
        return {}
    if not Path(text).is_file():
        return {"": text}
    lines = [line.rsplit(maxsplit=1) for line in Path(text).read_text(encoding="utf-8").splitlines() if line.strip()]
    if wrong := [line for line in lines if len(line) != 2]:
        raise SourceError(f"{text} has the line {wrong[0][0]!r}: a picture's name and its class are wanted")
    return {Path(name).stem: wanted for name, wanted in lines}


def options_of(args: argparse.Namespace) -> Options:
    """What is given."""
    return Options(
        args.source, args.pairs, args.target, args.train, args.labels, args.weights, args.inception, args.classifier,
        args.segmenter, args.classes, bool(args.engine), args.consecutive or is_video(args.source), draws=True,
    )  # fmt: skip


def chosen(args: argparse.Namespace) -> list[Metric]:
    """The metrics that are asked for, or all.

    Raises:
        SourceError: one that is asked for needs what is not given.
    """
    if not args.metrics:
        return list(METRICS.values())
    for name in args.metrics:
        if why := missing(METRICS[name].needs, options_of(args)):
            raise SourceError(f"{name}: {why}")
    return [METRICS[name] for name in args.metrics]


def read_given(args: argparse.Namespace, metrics: Sequence[Metric], work: Path) -> Given:
    """Everything beside the columns. Raises InlocoError where something is missing or of another kind."""
    features = Features(args.weights, args.inception)
    features.check({need for metric in metrics for need in metric.needs})
    source = _open(args.source, work / "source", args.frames)
    pairs, labels = _open(args.pairs, work / "pairs", args.frames), _open(args.labels, work / "labels", args.frames)
    names = next((pictures.names for pictures in (source, pairs, labels) if pictures is not None), ())
    return Given(
        features, Networks(args.classifier, args.segmenter, args.network_range), args.seed, args.resamples, source,
        None if pairs is None else pairs.named(names, "--pairs"),
        _open(args.target, work / "target", args.frames) or pairs,
        _open(args.train, work / "train", args.frames),
        None if labels is None else labels.named(names, "--labels"),
        read_classes(args.classes), args.consecutive or is_video(args.source), args.fit,
    )  # fmt: skip


def _open(where: str | None, work: Path, frames: int) -> Pictures | None:
    if where is None:
        return None
    return unpacked(where, work, frames) if is_video(where) else open_folder(where)


def make_columns(args: argparse.Namespace, given: Given, work: Path) -> list[Column]:
    """Engines first, then folders, then the source.

    Raises:
        InlocoError: as columns.of_engine and of_folder; two columns of one name, or of unlike pictures.
    """
    drawing = Drawing(args.seed, args.draws, count=args.count, controls=tuple(args.control), fit=args.fit)
    named_engines = enumerate(zip(args.engine, engine_names(args.engine), strict=True))
    columns = [of_engine(choice, name, given.source, drawing, work / str(k)) for k, (choice, name) in named_engines]
    named = given.source or given.pairs or given.labels
    for text in args.images:
        name, equals, folder = text.partition("=")
        where = Path(folder) if equals else Path(text)
        columns.append(of_folder(name if equals else where.resolve().name, where, named))
    names = [column.name for column in columns]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SourceError(f"two columns are called {twice[0]!r}: name folders with --images NAME=DIR, and engines once")
    if unlike := [column for column in columns if not alike(column, columns[0])]:
        raise FrameError(f"{unlike[0].name} has other channels or depth than {columns[0].name}: judge them apart")
    if given.source is None:
        return columns
    identity = of_source(given.source, columns[0], args.fit, work / "identity")
    return [*columns, identity] if alike(identity, columns[0]) else columns


def collect(args: argparse.Namespace, metrics: Sequence[Metric], work: Path) -> tuple[Facts, Any]:
    """All of report.json, and what the page is drawn from."""
    given = read_given(args, metrics, work)
    columns = make_columns(args, given, work)
    options = Options(**{**vars(options_of(args)), "draws": any(column.draws for column in columns)})
    if args.metrics and (why := next(filter(None, (missing(metric.needs, options) for metric in metrics)), "")):
        raise SourceError(why)
    found, left_out, of = judge(metrics, columns, given, options, asked=bool(args.metrics))
    if not found:
        raise SourceError("nothing can be judged: " + "; ".join(f"{x['metric']}: {x['why']}" for x in left_out[:3]))
    facts = {
        "schema": SCHEMA, "title": f"Quality of {', '.join(c.name for c in columns if c.name != 'identity')}",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"), "command": args.command,
        "settings": {"seed": args.seed, "resamples": args.resamples, "fit": args.fit, "controls": args.control},
        "given": {name: len(pictures) for name in ("source", "pairs", "target", "train", "labels")
                  if (pictures := getattr(given, name)) is not None},
        "columns": [{"name": c.name, "pictures": len(c.pictures), **c.facts} for c in columns],
        "figures": facts_of(found, of, given), "left_out": list(left_out),
        "machine": describe_machine(), "versions": package_versions((*PACKAGES, "torch", "torchmetrics", "scipy")),
    }  # fmt: skip
    return facts, (found, columns, given)


def shown_command(arguments: Sequence[str]) -> str:
    """The command without the folders of this machine."""
    return " ".join(["python -m benchmarks.quality", *(part.rpartition("/")[2] or part for part in arguments)])


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"metrics:\n{described()}",
    )  # fmt: skip
    add = parser.add_argument
    add("--engine", nargs="+", type=parse_choice, default=[], metavar="ENGINE[@BACKEND]", help="engines to judge")
    add("--images", nargs="+", default=[], metavar="[NAME=]DIR", help="folders of finished translations to judge")
    add("--report", type=Path, required=True, metavar="DIR", help="write report.html, .md, .json and grid.jpg here")
    add("--metrics", nargs="+", choices=METRICS, metavar="METRIC", help="see below; default: all that can be answered")
    add("--source", help="folder (or video) of what is translated; matched by name with the others")
    add("--pairs", help="folder (or video) of the true translations")
    add("--target", help="folder of real pictures of the target domain, not trained on")
    add("--train", help="folder of the training pictures of the target domain")
    add("--labels", help="folder of maps of class numbers, one channel, 255 = no class")
    add("--weights", type=Path, help="folder of SqueezeNet's and LPIPS' weights")
    add("--inception", type=Path, help="FID's Inception v3: .pth, .safetensors or .onnx")
    add("--classifier", type=Path, help="engine, or ONNX of a (1, 3, H, W) picture")
    add("--classes", metavar="CLASS|FILE", help="class that is asked for, or a file of lines: picture class")
    add("--segmenter", type=Path, help="engine, or ONNX of a (1, 3, H, W) picture")
    add("--network-range", choices=RANGES, default="imagenet", help="what a bare ONNX takes (default %(default)s)")
    add("--consecutive", action="store_true", help="the pictures of --source are frames of a video, in order")
    add("--control", action="append", default=[], metavar="NAME=VALUE", help="as for runtime.stream")
    add("--fit", choices=FITS, default="letterbox", help="for pictures of another size than the engine's")
    add("--draws", type=_count, default=10, help="of each of 20 sources, where noise is drawn (default %(default)d)")
    add("--count", type=_count, default=256, help="pictures of a generator of noise (default %(default)d)")
    add("--frames", type=_count, default=240, help="of a video, at most (default %(default)d)")
    add("--resamples", type=_count, default=1000, help="of the bootstrap (default %(default)d)")
    add("--seed", type=int, default=0, help="of the draws and of the bootstrap (default 0)")
    add("--json", action="store_true", help="print report.json instead of the tables")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, print, write."""
    args = _parser().parse_args(arguments)
    args.command = shown_command(sys.argv[1:] if arguments is None else arguments)
    if not args.engine and not args.images:
        raise SourceError("there is nothing to judge: give --engine or --images")
    metrics = chosen(args)
    check_folder(args.report)
    with TemporaryDirectory(prefix="inloco-quality-") as work:
        facts, shown = collect(args, metrics, Path(work))
        path = write_report(args.report, facts, *shown)
    print(json.dumps(facts) if args.json else as_markdown(facts))
    if not args.json:
        print(f"report: {path}")
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
