"""Train on 10, 40 and all images with each limited-data method, and say which helped. Example:

    python -m benchmarks.limited_data --data-root ../shared/data --out work/limited --minutes 40

A paired task (low-dose X-rays) and an unpaired one (cats to dogs) at 64 px, three seeds on 10 images. One training at a
time; a finished one is not repeated, an interrupted one goes on. OUT/report.md and .json are written anew after each.
Look at the samples/ of each run in OUT/runs. Which to use when: docs/limited_data.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.evidence.training import finished, minutes_spent, trained
from benchmarks.limited_data.judged import Figures, Judge, judged
from benchmarks.limited_data.study import TASKS, Run, chosen, planned_kimg, runs
from benchmarks.limited_data.table import write_report
from benchmarks.machine import describe_machine, package_versions
from models.errors import ConfigError, DataError, run_command
from models.train import STOPPED


def plan(out: Path, root: Path, minutes: float) -> dict[str, float]:
    """The trainings' lengths: the folder's own once it has them."""
    path = out / "plan.json"
    if not path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(planned_kimg(root, minutes)) + "\n", encoding="utf-8")
    kimg: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return kimg


def result_of(run: Run, given: tuple[Path, Path, Path], kimg: float, judges: dict[str, Judge]) -> dict[str, Any] | None:
    """The outcome of a run, trained now if it has not been; None when it was stopped."""
    root, weights, out = given
    folder = out / "runs" / run.name
    kept = folder / "result.json"
    if kept.is_file():
        known: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return known
    recipe = run.recipe(chosen(run, root, out), kimg)
    trained(recipe, folder)
    if not finished(recipe, folder):
        return None
    if run.task not in judges:
        judges[run.task] = Judge(run.task, recipe, root, weights)
    figures = judged(run, judges[run.task], recipe, folder)
    result = {
        "task": run.task, "count": run.count, "method": run.method, "seed": run.seed, "kimg": kimg, "figures": figures,
        "cpu_s": round(minutes_spent(folder) * 60, 1),
    }  # fmt: skip
    kept.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return result


def untouched(root: Path, weights: Path, out: Path) -> dict[str, Figures]:
    """The figures of the held-out sources themselves, for each task; measured once."""
    path = out / "untouched.json"
    if not path.is_file():
        found = {}
        for task in TASKS:
            judge = Judge(task, Run(task, 0, "none", 0).recipe(root / TASKS[task].images, 1.0), root, weights)
            found[task] = {name: float(f"{value:.5g}") for name, value in judge.of(judge.a).items()}
        path.write_text(json.dumps(found) + "\n", encoding="utf-8")
    known: dict[str, Figures] = json.loads(path.read_text(encoding="utf-8"))
    return known


def facts_of(
    results: list[dict[str, Any]], kimg: dict[str, float], minutes: float, sources: dict[str, Figures]
) -> dict[str, Any]:
    """What the report says."""
    return {
        "untouched": sources,
        "title": "Few images: what helps",
        "command": f"python -m benchmarks.limited_data --data-root DATA --out OUT --minutes {minutes:g}",
        "created": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "kimg": kimg,
        "machine": describe_machine() | package_versions(("torch", "numpy")), "results": results,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.limited_data", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data-root", type=Path, required=True, help="folder of xray_lowdose, cats_dogs and weights")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of the report")
    parser.add_argument("--minutes", type=float, default=40, help="CPU minutes of the whole study (%(default)s)")
    parser.add_argument("--weights", type=Path, help="folder of SqueezeNet's weights (default: DATA-ROOT/weights)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    args = parser.parse_args()
    if args.minutes <= 0:
        raise ConfigError(f"--minutes must be positive, not {args.minutes:g}")
    if missing := [task.images for task in TASKS.values() if not (args.data_root / task.images).is_dir()]:
        raise DataError(f"there is no folder {args.data_root / missing[0]}; --data-root names the folder that holds it")
    torch.set_num_threads(args.threads)
    kimg = plan(args.out, args.data_root, args.minutes)
    given = (args.data_root, args.weights or args.data_root / "weights", args.out)
    sources = untouched(*given)
    results: list[dict[str, Any]] = []
    judges: dict[str, Judge] = {}
    wanted = runs()
    for number, run in enumerate(wanted, 1):
        print(f"run {number} of {len(wanted)}: {run.name}", file=sys.stderr)
        result = result_of(run, given, kimg[run.task], judges)
        if result is None:
            return STOPPED
        results.append(result)
        report = write_report(args.out, facts_of(results, kimg, args.minutes, sources))
    print(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
