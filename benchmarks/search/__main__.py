"""Find the best student of a teacher that meets a budget of milliseconds on a device, by measured latency.

    python -m models.compress --teacher runs/day2night/checkpoint.safetensors --data photos --budget 8ms --out found
    python -m models.compress --teacher style.onnx --data photos --budget 8ms --device jetson.json --out found

INT8 engines of known shapes are timed in turn with a reference, their times are split into those of parts, and every
shape's time is the sum of its parts. The most promising that meet the budget are trained on the teacher's answers, the
last share of it rounded as in INT8, and judged as INT8 engines on images held out. The folder holds report.md,
pareto.png, search.json, table.json, and winner.safetensors with its graph and engine.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.graph_macs import engine_gmacs
from benchmarks.search import report
from benchmarks.search.choose import choose
from benchmarks.search.fit import Costs, fit
from benchmarks.search.probes import write_probes
from benchmarks.search.shapes import REFERENCE, candidates, probes
from benchmarks.search.students import Student, Training, make_student, write_json
from benchmarks.search.table import Pace, Table, against_reference, measure_table, read_table, write_table
from benchmarks.search.teacher import ask, teacher_engine
from benchmarks.subjects import Choice, Subject
from models.errors import ModelsError
from runtime.errors import DONE, EngineError, SourceError, run_command
from runtime.manifest import manifest_path, verify_engine, write_manifest
from runtime.report import check_folder

HERE = "here"
BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*(?:ms)?")
SIZE = re.compile(r"(\d+)x(\d+)")


def search(options: argparse.Namespace) -> int:
    """The whole way, in the folder `--out`; what a stopped search has done is not done again."""
    out: Path = options.out
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    budget = _budget(options.budget)
    teacher = teacher_engine(options.teacher, _size(options.size), out)
    manifest = verify_engine(teacher)
    assert manifest.frame is not None
    size, channels = (manifest.frame.height, manifest.frame.width), manifest.frame.channels
    lessons, warning = ask(teacher, options.data, out / "lessons")
    if warning:
        print(f"warning: {warning}", file=sys.stderr)
    table = _table(options.device, size, channels, out)
    costs = fit(list(table.probes), [figures["ms"] for figures in table.probes.values()])
    chosen = choose(candidates(set(costs.ms)), costs, budget, options.train)
    students = [
        make_student(shape, ms, (lessons, size, channels), _training(options, size), out / shape.name)
        for shape, ms in tqdm(chosen, desc="training students", unit="student")
    ]
    teacher_ms = None
    if options.device == HERE:
        students, teacher_ms = measured(students, teacher, table, out)
    winner = best(students, budget)
    facts = {
        "command": f"python -m models.compress {shlex.join(sys.argv[1:])}", "budget_ms": budget, "size": size,
        "channels": channels, "images": lessons.count, "winner": winner.shape.name,
        "device": f"{table.backend} on {table.machine.get('cpu', 'a device')}, {table.machine.get('cores', '?')} cores",
        "teacher": {
            "name": options.teacher.name, "measured_ms": teacher_ms,
            "gmac": engine_gmacs(teacher, manifest)[0] or 0.0,
        },
    }  # fmt: skip
    _conclude(out, facts, (students, winner, costs))
    return DONE


def measured(students: list[Student], teacher: Path, table: Table, out: Path) -> tuple[list[Student], float]:
    """The students with their engines' times, and the teacher's time: in turn with the table's reference, by ratio."""
    with ExitStack() as stack:
        reference = stack.enter_context(Subject(Choice(out / "probes" / f"{REFERENCE.name}.onnx")))
        paths = [out / student.folder / "student_int8.onnx" for student in students]
        sound = [student for student, path in zip(students, paths, strict=True) if path.is_file()]
        engines = [Subject(Choice(out / student.folder / "student_int8.onnx")) for student in sound]
        subjects = [stack.enter_context(subject) for subject in (*engines, Subject(Choice(teacher)))]
        middle, figures = against_reference(reference, subjects, Pace(rounds=9))
    times = [round(figure["ms"] / middle * table.reference_ms, 4) for figure in figures]
    found = dict(zip([student.shape for student in sound], times, strict=False))
    return [replace(student, measured_ms=found.get(student.shape)) for student in students], times[-1]


def best(students: Sequence[Student], budget_ms: float) -> Student:
    """The best picture among those that pass the gate within the budget.

    Raises:
        EngineError: none does.
    """
    fit_in = [s for s in students if s.gate == "passed" and (s.measured_ms or s.predicted_ms) <= budget_ms]
    if not fit_in:
        fastest = min(students, key=lambda student: student.measured_ms or student.predicted_ms)
        raise EngineError(
            f"no trained student passed the INT8 gate within {budget_ms:g} ms; the fastest, {fastest.shape.name}, "
            f"takes {fastest.measured_ms or fastest.predicted_ms:.2f} ms (gate: {fastest.gate}): train longer, or "
            "raise --budget"
        )
    return max(fit_in, key=lambda student: student.psnr)


def _table(device: str, size: tuple[int, int], channels: int, out: Path) -> Table:
    """Of the device that is named; here, measured once for a folder."""
    path = out / "table.json" if device == HERE else Path(device)
    if device == HERE:
        write_probes(probes(), size, channels, out / "probes")
        if not path.is_file():
            write_table(measure_table(out / "probes"), path)
    table = read_table(path)
    if (table.size, table.channels) != (size, channels):
        raise SourceError(
            f"{path} was measured at {'x'.join(map(str, table.size))} with {table.channels} channels, the teacher "
            f"works at {'x'.join(map(str, size))} with {channels}: make probes of that size and time the device again"
        )
    return table


def _conclude(out: Path, facts: dict[str, Any], found: tuple[list[Student], Student, Costs]) -> None:
    """Write everything, the winner's checkpoint and engine, and tell."""
    students, winner, costs = found
    report.draw_pareto(students, winner, facts["budget_ms"], out / "pareto.png")
    (out / "report.md").write_text(report.as_markdown(facts, students, winner, costs), encoding="utf-8")
    parts = {"costs_ms": costs.ms, "worst_error": costs.worst_error}
    write_json(out, facts | parts | {"students": [student.as_json() for student in students]})
    folder = out / winner.folder
    shutil.copyfile(folder / "checkpoint.safetensors", out / "winner.safetensors")
    for name, made in (("winner.onnx", "student.onnx"), ("winner_int8.onnx", "student_int8.onnx")):
        shutil.copyfile(folder / made, out / name)
        manifest_path(out / name).unlink(missing_ok=True)
        write_manifest(replace(verify_engine(folder / made), file=name), out / name)
    told = f"{winner.shape.name}: {winner.psnr:.2f} dB, SSIM {winner.ssim:.4f}, predicted {winner.predicted_ms:.2f} ms"
    if winner.measured_ms:
        off = winner.predicted_ms / winner.measured_ms - 1
        told += f", measured {winner.measured_ms:.2f} ms ({off:+.1%})"
    else:
        told += ", not measured: time winner_int8.onnx on the device with `python -m benchmarks.latency`"
    print(f"{told}\n{out / 'winner_int8.onnx'}, {out / 'report.md'}")


def _training(options: argparse.Namespace, size: tuple[int, int]) -> Training:
    return Training(
        minutes=options.minutes, kimg=options.kimg, crop=min(options.crop, *size), seed=options.seed,
        qat_after=options.qat_after, perception_weights=str(options.perception_weights or ""),
    )  # fmt: skip


def _budget(text: str) -> float:
    match = BUDGET.fullmatch(text.strip())
    if not match or float(match[1]) <= 0:
        raise SourceError(f"--budget {text}: write milliseconds, such as 8ms")
    return float(match[1])


def _size(text: str) -> tuple[int, int]:
    match = SIZE.fullmatch(text)
    if not match:
        raise SourceError(f"--size {text}: write height x width in pixels, such as 256x256")
    return int(match[1]), int(match[2])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.compress", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", type=Path, help="checkpoint.safetensors, or an engine (.onnx with its manifest)")
    parser.add_argument("--data", type=Path, help="folder of images, or one with trainA/ in it")
    parser.add_argument("--budget", default="8ms", help="of a frame, on the device (default %(default)s)")
    parser.add_argument("--device", default=HERE, help="here, or a table that benchmarks.search.table made there")
    parser.add_argument("--out", type=Path, help="folder of the search")
    parser.add_argument("--size", default="256x256", metavar="HxW", help="of a checkpoint's frames (%(default)s)")
    parser.add_argument("--train", type=int, default=4, metavar="N", help="shapes to train (default %(default)d)")
    parser.add_argument("--minutes", type=float, default=Training.minutes, help="of CPU for each (default %(default)g)")
    parser.add_argument("--kimg", type=float, default=0.0, help="thousands of images for each, instead of minutes")
    parser.add_argument("--crop", type=int, default=Training.crop, help="side of training crops (default %(default)d)")
    parser.add_argument("--qat-after", type=float, default=Training.qat_after, help="share (default %(default)g)")
    parser.add_argument("--perception-weights", type=Path, help="SqueezeNet's weights, for a perceptual term")
    parser.add_argument("--seed", type=int, default=Training.seed)
    parser.add_argument("--probes", type=Path, metavar="DIR", help="only write the probes that a device is timed with")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=3, help="of the probes (default %(default)d)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Search, or write probes."""
    options = _parser().parse_args(arguments)
    try:
        if options.probes is not None:
            write_probes(probes(), _size(options.size), options.channels, options.probes)
            print(f"{options.probes}: {len(probes())} probes; on the device: python -m benchmarks.search.table")
            return DONE
        if missing := [name for name in ("teacher", "data", "out") if getattr(options, name) is None]:
            raise SourceError(f"--{missing[0]} is missing; see --help")
        if options.train < 1:
            raise SourceError(f"--train {options.train}: at least one student must be trained")
        return search(options)
    except ModelsError as error:  # of training; one kind of sentence for the user
        raise EngineError(str(error)) from error


if __name__ == "__main__":
    raise SystemExit(run_command(main))
