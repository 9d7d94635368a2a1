"""How fast engines are, side by side: `python -m benchmarks.latency E… --report DIR`.

    python -m benchmarks.latency cyclegan_int8.onnx --report out
    python -m benchmarks.latency resnet9.onnx@onnxruntime resnet9.onnx@openvino cyclegan_int8.onnx --report out --fps 25

Every engine is measured back to back and at a camera's cadence, all of them in turn within one run, so that ratios to
the first hold on a busy machine too; then each once more in a process of its own, for memory and first frame.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.cold_start import measure_cold_start
from benchmarks.graph_macs import engine_gmacs
from benchmarks.machine import describe_machine, package_versions
from benchmarks.percentiles import summarise
from benchmarks.plots import latency_cdf, timeline
from benchmarks.report import as_markdown, write_report
from benchmarks.subjects import Choice, Subject, parse_choice
from benchmarks.timing import BackToBack, Cadence, Plan, measure_back_to_back, measure_cadence, ratios, warm_up
from runtime.errors import DONE, EngineError, run_command
from runtime.report import check_folder

SCHEMA = 1  # of report.json


def describe_engine(subject: Subject) -> dict[str, Any]:
    """What the manifest and the file say; nothing that is measured."""
    manifest = subject.manifest
    exact, published = engine_gmacs(subject.choice.path, manifest)
    return {
        "name": subject.name,
        "file": subject.choice.path.name,
        "sha256": manifest.sha256["engine"],
        "backend": subject.backend,
        "precision": manifest.precision,
        "input": f"{port.width}x{port.height}x{port.channels}" if (port := manifest.frame) else "no frame",
        "file_mib": round(subject.choice.path.stat().st_size / 2**20, 3),
        "gmac_exact": None if exact is None else round(exact, 3),
        "gmac_published": None if published is None else round(published, 3),
    }


def as_json(result: BackToBack, ratio: dict[str, float]) -> dict[str, Any]:
    """The figures of one engine at full speed."""
    latencies = result.latencies_ms
    return {
        "latency_ms": summarise(latencies), "frames": len(latencies),
        "throughput_fps": round(result.throughput, 2), "ratio": ratio,
    }  # fmt: skip


def cadence_as_json(result: Cadence) -> dict[str, Any]:
    """The figures of one engine behind a camera."""
    return {
        "latency_ms": summarise(result.latencies_ms), "compute_ms": summarise(result.compute_ms),
        "offered": result.offered, "late": result.late, "skipped": result.skipped,
        "missed_share": round(result.missed_share, 4),
    }  # fmt: skip


def measure(choices: Sequence[Choice], plan: Plan) -> tuple[dict[str, Any], dict[str, BackToBack]]:
    """The facts of report.json about every engine, and the latencies for the plots.

    Raises:
        InlocoError: an engine cannot be opened or run; two are the same engine with the same backend.
    """
    with ExitStack() as stack:
        subjects = [stack.enter_context(Subject(choice)) for choice in choices]
        names = [subject.name for subject in subjects]
        if twice := {name for name in names if names.count(name) > 1}:
            raise EngineError(f"{twice.pop()} is given twice; name each engine once for a backend")
        engines = [describe_engine(subject) for subject in subjects]
        blocks = 2 * plan.rounds * len(subjects)
        with tqdm(total=blocks, desc="measuring", unit="block", leave=False) as progress:
            warm_up(subjects)
            at_full_speed = measure_back_to_back(subjects, plan, progress.update)
            at_cadence = measure_cadence(subjects, plan, progress.update)
    ratio = ratios(at_full_speed)
    for engine, choice in zip(tqdm(engines, desc="cold starts", unit="engine", leave=False), choices, strict=True):
        name = engine["name"]
        engine["back_to_back"] = as_json(at_full_speed[name], ratio[name])
        engine["cadence"] = cadence_as_json(at_cadence[name])
        engine["cold_start"] = measure_cold_start(choice)
    return {"engines": engines}, at_full_speed


def collect_facts(choices: Sequence[Choice], plan: Plan, command: str) -> tuple[dict[str, Any], dict[str, BackToBack]]:
    """All of report.json, and the latencies for the plots."""
    measured, latencies = measure(choices, plan)
    facts = {
        "schema": SCHEMA,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "settings": {"seconds": plan.seconds, "rounds": plan.rounds, "fps": plan.fps},
        "machine": describe_machine(),
        "versions": package_versions(),
    }
    return facts | measured, latencies


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    plan = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency",
        description="Time engines in turn, back to back and at a camera's cadence.",
        epilog="example: python -m benchmarks.latency resnet9.onnx@onnxruntime cyclegan_int8.onnx --report out",
    )
    parser.add_argument("engines", nargs="+", metavar="ENGINE[@BACKEND]", type=parse_choice,
                        help="engine files; ratios are to the first")  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="DIR", help="write report.html, report.md, report.json here")
    parser.add_argument("--fps", type=_positive, default=plan.fps, help="the camera's cadence (default %(default)g)")
    parser.add_argument("--seconds", type=_positive, default=plan.seconds,
                        help="for an engine, back to back and again at cadence (default %(default)g)")  # fmt: skip
    parser.add_argument("--rounds", type=_count, default=plan.rounds, help="turns of an engine (default %(default)d)")
    parser.add_argument("--json", action="store_true", help="print report.json instead of the tables")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    options = _options(arguments)
    if options.report is not None:
        check_folder(options.report)
    plan = Plan(options.seconds, options.rounds, options.fps)
    names = " ".join(choice.text for choice in options.engines)
    command = (
        f"python -m benchmarks.latency {names} --report DIR --fps {plan.fps:g} --seconds {plan.seconds:g} "
        f"--rounds {plan.rounds}"
    )
    facts, latencies = collect_facts(options.engines, plan, command)
    print(json.dumps(facts) if options.json else as_markdown(facts))
    if options.report is not None:
        by_engine = {name: result.latencies_ms for name, result in latencies.items()}
        page = write_report(options.report, facts, latency_cdf(by_engine, 1e3 / plan.fps), timeline(latencies))
        if not options.json:
            print(f"report: {page}")
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
