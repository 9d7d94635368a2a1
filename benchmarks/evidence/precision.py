"""Which precision of a trained row passes the gate: exports the run's default part, quantises it, times INT8.

    python -m benchmarks.evidence.precision pix2pix cut --data ../shared/data --out work/evidence

The run must be there (`python -m benchmarks.evidence`). The verdicts are written into the row; the gate's thresholds
are its defaults, and what it says of a network trained for minutes need not hold for one that was trained for days.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from benchmarks.evidence.prepare import prepare
from benchmarks.evidence.rows import FOLDER, Precision, read_rows, write_row
from benchmarks.evidence.tasks import TASKS, Task
from benchmarks.subjects import Choice, Subject
from benchmarks.timing import Plan, measure_back_to_back, ratios, warm_up
from calibration import quantize
from export import onnx as export
from models.errors import ConfigError
from models.registry import system_class
from runtime.errors import GateError, InlocoError, run_command

FRAMES = ("--calibration-frames", "32", "--gate-frames", "12")
PREPARED = {"video": "clip", "digits": "digits"}  # of a task's images, where no folder of them is at hand
PRECISIONS = ("fp16", "int8")
CLOCK = Plan(seconds=3.0, rounds=7)


def frames_of(system: str, task: Task, data_root: Path, out: Path) -> Path | None:
    """A folder of what the system translates; None where it makes its pictures of noise alone."""
    if system_class(system).task == "noise to image":
        return None
    if name := PREPARED.get(task.images):
        prepare(name, data_root, out)
        return out / name
    data = str(task.settings.get("data", ""))
    classes = map(str, sorted(Path(data, "train").glob("*/")))
    places = [str(task.settings.get("data_a", "")), f"{data}/trainA", *classes, data]
    return next((Path(place) for place in places if place and any(Path(place).glob("*.[jp][pn]g"))), None)


def verdicts(checkpoint: Path, size: int, frames: Path | None) -> dict[str, Precision]:
    """What the gate says of each precision, or why the graph could not be made."""
    graph = checkpoint.with_name("row.onnx")
    export.main([str(checkpoint), "--size", f"{size}x{size}", "--out", str(graph), "--json"])
    found: dict[str, Precision] = {}
    for precision in PRECISIONS:
        out = graph.with_name(f"row_{precision}.onnx")
        given = [str(graph), "--precision", precision, "--out", str(out), "--json", "--quiet", *FRAMES]
        found[precision] = _verdict([*given, "--frames", str(frames)] if frames else given)
        if precision == "int8" and found[precision].verdict == "passed":
            found[precision] = replace(found[precision], faster=times_faster(graph, out))
    return found


def times_faster(graph: Path, rounded: Path) -> float:
    """How many times as fast as a graph its rounded form is, in OpenVINO, both timed in turn."""
    with ExitStack() as stack:
        subjects = [stack.enter_context(Subject(Choice(path, "openvino"))) for path in (graph, rounded)]
        warm_up(subjects)
        results = measure_back_to_back(subjects, CLOCK)
    return ratios(results)[subjects[1].name]["median"]


def _verdict(arguments: list[str]) -> Precision:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            quantize.main(arguments)
    except GateError:
        pass  # the report is printed before the refusal
    except InlocoError as error:  # such as a network that has no layer for INT8
        return Precision("refused", None, None, None, [str(error)])
    gate = json.loads(printed.getvalue())["gate"]
    return Precision(gate["verdict"], gate["mean_psnr"], gate["worst_psnr"], gate["bias"], gate["missed"])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evidence.precision", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("rows", nargs="+", metavar="ROW", help="rows that were trained")
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the rows (default: %(default)s)")
    args = parser.parse_args()
    for name in tqdm(args.rows, desc="gating", unit="row"):
        rows = read_rows(args.results)
        if name not in rows:
            raise ConfigError(f"there is no row {name!r} in {args.results}: train it with benchmarks.evidence first")
        task = TASKS[name].filled(args.data, args.out)
        size = task.test_size or rows[name].size
        frames = frames_of(rows[name].system, task, args.data, args.out)
        found = verdicts(args.out / name / "checkpoint.safetensors", size, frames)
        write_row(replace(rows[name], precision=found), args.results)
        for precision, verdict in found.items():
            print(f"{name} {precision}: {verdict.said()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
