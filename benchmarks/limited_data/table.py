"""The limited-data study as report.md and report.json."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.limited_data.judged import BEST
from benchmarks.limited_data.study import COUNTS, METHODS, TASKS
from benchmarks.report import Facts, Table, markdown_table

NOTES = (
    "Every method of a task sees as many images, in the order of its seed; the seed also chooses which few there are. "
    "Mean ± standard deviation over seeds where there are several, (number of seeds).",
    "paired: 40 held-out pairs. unpaired: 50 held-out cats made dogs, against all 350 real dogs, also those that were "
    "not trained on. FD- and KID-SqueezeNet are not FID and KID.",
    "critic_gap: how much surer the critic is of the real images that it was trained on than of held-out ones, as "
    "mean sign of its logits: 0 = it has memorised nothing, 2 = it takes all others for generated.",
    "Sizes and lengths are those of a study for one core and minutes: differences between methods are what it shows, "
    "not what a method can reach.",
)  # fmt: skip


def cells(results: list[dict[str, Any]], figure: str) -> str:
    """Mean, spread and number of seeds."""
    values = [result["figures"][figure] for result in results]
    if not values:
        return "–"
    spread = f" ± {stdev(values):.2g}" if len(values) > 1 else ""
    return f"{fmean(values):.3g}{spread} ({len(values)})"


def table_of(task: str, count: int, results: list[dict[str, Any]], source: dict[str, float]) -> Table:
    """A row for the source as it is, and one for each method that was trained on so many images."""
    rows = [["", *(f"{name} ({'↑' if way == 'high' else '↓'})" for name, way in BEST[task].items()), "CPU s"]]
    rows.append(["the source itself", *(f"{source[name]:.3g}" if name in source else "–" for name in BEST[task]), "–"])
    for method in METHODS:
        own = [r for r in results if (r["task"], r["count"], r["method"]) == (task, count, method)]
        if own:
            seconds = f"{fmean(r['cpu_s'] for r in own):.0f}"
            rows.append([method, *(cells(own, name) for name in BEST[task]), seconds])
    return rows


def write_report(folder: Path, facts: Facts) -> Path:
    """Both files, each whole or not at all; returns the page's path."""
    blocks = [f"# {facts['title']}", f"    {facts['command']}"]
    for task in TASKS:
        for count in COUNTS:
            table = table_of(task, count, facts["results"], facts["untouched"][task])
            if len(table) > 2:
                kimg = facts["kimg"][task]
                head = f"## {task} ({TASKS[task].images}), {count or 'all'} images, {kimg:g} kimg"
                blocks += [head, markdown_table(table)]
    blocks.append("\n".join(f"- {note}" for note in NOTES))
    blocks.append("\n".join(f"- {name}: {value}" for name, value in facts["machine"].items()))
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "report.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return _write(folder / "report.md", "\n\n".join(blocks) + "\n")


def _write(path: Path, text: str) -> Path:
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path
