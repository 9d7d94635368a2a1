"""The latency report of a stream: report.html, which needs nothing beside itself, and report.json."""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any

from runtime.charts import line_chart
from runtime.errors import SinkError
from runtime.stats import StreamStats

_COLUMNS = ("mean", "min", "p50", "p90", "p95", "p99", "p99.9", "max")
_STYLE = """
:root { color-scheme: light dark; --line0: #1769aa; --line1: #c2410c; --line2: #15803d; --line3: #7e22ce;
  --line4: #52525b; }
@media (prefers-color-scheme: dark) { :root { --line0: #7cc4ff; --line1: #ffb17a; --line2: #7ee2a8;
  --line3: #d3a8ff; --line4: #c4c4cc; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid #8884; }
th:first-child, td:first-child, .facts td { text-align: left; }
svg { width: 100%; height: auto; font-size: 12px; }
svg text { fill: currentColor; } .grid { stroke: currentColor; opacity: .15; }
.line { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
.n0 { stroke: var(--line0); } .n1 { stroke: var(--line1); }
.n2 { stroke: var(--line2); } .n3 { stroke: var(--line3); } .n4 { stroke: var(--line4); }
"""
_EXPLANATION = (
    "capture: bytes there → decoded and fitted; queue: → its turn on the engine; compute: → collected from it; "
    "sink: → written; age: the whole way, from capture to written. Milliseconds; percentiles right to 0.5 %."
)


def check_folder(folder: Path) -> None:
    """Raise SinkError now, rather than after hours, where a report cannot be written."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SinkError(f"cannot write a report into {folder}: {error.strerror or error}") from error
    if is_new:
        folder.rmdir()


def write_report(folder: Path, summary: dict[str, Any], stats: StreamStats) -> Path:
    """Write both files, each whole or not at all; return the path of the page. `summary` is what `--json` prints."""
    facts = summary | {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "report.json", json.dumps(facts, indent=2) + "\n")
        return _write(folder / "report.html", _page(facts, stats))
    except OSError as error:
        raise SinkError(f"cannot write a report into {folder}: {error.strerror or error}") from error


def latency_table(summary: dict[str, Any]) -> str:
    """The figures of a stream for a terminal."""
    head = (
        f"{summary['frames']} frames, {summary['dropped']} dropped, {summary['fps']:.1f} fps, "
        f"{summary['backend']}, {summary['engine']}"
    )
    rows = [f"{'ms':<9}" + "".join(f"{name:>9}" for name in _COLUMNS)]
    for stage, figures in summary["latency_ms"].items():
        rows.append(f"{stage:<9}" + "".join(f"{figures[name]:>9.2f}" for name in _COLUMNS))
    if ladder := summary.get("ladder"):
        rows.append(
            f"ladder: at step {ladder['level']}, {ladder['name']}; {ladder['downs']} down, {ladder['ups']} up, "
            f"{ladder['late']} frames later than {ladder['deadline_ms']:g} ms"
        )
    return "\n".join([head, *rows])


def _write(path: Path, text: str) -> Path:
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


def _page(facts: dict[str, Any], stats: StreamStats) -> str:
    title = f"{facts['engine']}: {facts['fps']:.1f} frames a second"
    stages = {name: stage.cumulative() for name, stage in stats.stages.items()}
    distribution = line_chart(stages, "milliseconds", "share of frames", log_x=True)
    timeline = line_chart(
        {
            "compute": [(second, compute) for second, compute, _ in stats.timeline],
            "age": [(second, age) for second, _, age in stats.timeline],
        },
        "seconds",
        "milliseconds",
    )
    return "\n".join([
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<meta name=viewport content='width=device-width'><title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1>{_facts_table(facts)}",
        f"<h2>Latency</h2>{_latency_table(facts)}<p>{_EXPLANATION}</p>",
        f"<h2>Distribution</h2>{distribution}<h2>Over time</h2>{timeline}{_ladder(facts)}</html>",
    ])


def _ladder(facts: dict[str, Any]) -> str:
    """The latest moves of a deadline ladder, and how many frames each step made."""
    if (ladder := facts.get("ladder")) is None:
        return ""
    steps = "".join(f"<tr><td>{escape(step['name'])}<td>{step['frames']}" for step in ladder["steps"])
    moves = "".join(
        f"<tr><td>{move['second']:.1f} s<td>{move['from']} → {move['to']}<td>{escape(move['reason'])}"
        for move in ladder["moves"]
    )
    head = f"{ladder['late']} frames later than {ladder['deadline_ms']:g} ms, {ladder['downs']} steps down, "
    return (
        f"<h2>Ladder</h2><p>{head}{ladder['ups']} up.</p><table><tr><th>step<th>frames{steps}</table>"
        f"<table class=facts>{moves}</table>"
    )


def _facts_table(facts: dict[str, Any]) -> str:
    rows = (
        f"<tr><td>{escape(name.replace('_', ' '))}<td>{escape(str(value))}"
        for name, value in facts.items()
        if not isinstance(value, dict)
    )
    return f"<table class=facts>{''.join(rows)}</table>"


def _latency_table(facts: dict[str, Any]) -> str:
    head = "".join(f"<th>{name}" for name in _COLUMNS)
    rows = (
        f"<tr><td>{stage}" + "".join(f"<td>{figures[name]:.2f}" for name in _COLUMNS)
        for stage, figures in facts["latency_ms"].items()
    )
    return f"<table><tr><th>ms{head}{''.join(rows)}</table>"
