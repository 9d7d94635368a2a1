"""The latency report, and what reports share: report.html (nothing beside it is needed), .md and .json."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.percentiles import SUMMARY
from runtime.errors import SinkError

Facts = dict[str, Any]  # as report.json; benchmarks/latency.py builds it
Table = list[list[str]]  # the first row is the head

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .55rem; border-bottom: 1px solid #8885; white-space: nowrap; }
th:first-child, td:first-child, .text td { text-align: left; }
code { background: #8882; padding: .1rem .3rem; border-radius: 3px; overflow-wrap: anywhere; }
svg { width: 100%; max-width: 1000px; height: auto; }
"""
_NOTES = (
    "Back to back: one frame in flight, the next begins when it is done; copies to and from the device are included.",
    "Ratio: how many times lower the median is than the first engine's in the same round; median and range of rounds.",
    "At cadence: from the arrival of a frame to its translation. A deadline is the arrival of the next frame; the "
    "newest frame wins, and a frame replaced by a newer one is skipped. Missed = late + skipped, of those offered.",
    "A percentile of fewer than 1 / (1 - share) frames is little more than the maximum: p99.9 wants a thousand.",
    "GMAC exact: transposed convolutions counted per input position; published: per output position.",
    "Memory and first frame: a process of its own that opens the engine and translates; peak resident size, and "
    "seconds from the start of the process to the first translated frame, the least of its runs.",
)


def engine_table(facts: Facts) -> Table:
    """What was measured."""
    head = ["engine", "backend", "precision", "size", "file MiB", "GMAC exact", "GMAC published", "RSS MiB",
            "first frame s"]  # fmt: skip
    return [head] + [
        [
            engine["name"], engine["backend"], engine["precision"], engine["input"], f"{engine['file_mib']:.2f}",
            _number(engine["gmac_exact"]), _number(engine["gmac_published"]),
            _number(engine["cold_start"].get("rss_mib"), 0), _number(engine["cold_start"].get("first_frame_s")),
        ]
        for engine in facts["engines"]
    ]  # fmt: skip


def back_to_back_table(facts: Facts) -> Table:
    """At full speed, with the ratio to the first."""
    head = ["ms, back to back", *SUMMARY, "frames", "fps", "ratio", "range"]
    rows = []
    for engine in facts["engines"]:
        result = engine["back_to_back"]
        ratio = result["ratio"]
        rows.append([
            engine["name"], *(f"{result['latency_ms'][name]:.2f}" for name in SUMMARY), str(result["frames"]),
            f"{result['throughput_fps']:.1f}", f"{ratio['median']:.1f}x", f"{ratio['low']:.1f} to {ratio['high']:.1f}",
        ])  # fmt: skip
    return [head, *rows]


def cadence_table(facts: Facts) -> Table:
    """Fed by a camera."""
    head = [f"ms at {facts['settings']['fps']:g} fps", *SUMMARY, "offered", "late", "skipped", "missed"]
    rows = []
    for engine in facts["engines"]:
        result = engine["cadence"]
        rows.append([
            engine["name"], *(f"{result['latency_ms'][name]:.2f}" for name in SUMMARY), str(result["offered"]),
            str(result["late"]), str(result["skipped"]), f"{100 * result['missed_share']:.1f} %",
        ])  # fmt: skip
    return [head, *rows]


def machine_table(facts: Facts) -> Table:
    """Where and how."""
    rows = [["measured", facts["created"]], *([name, str(value)] for name, value in facts["machine"].items())]
    rows += [[name, version] for name, version in facts["versions"].items()]
    settings = facts["settings"]
    rows.append(["settings", f"{settings['seconds']:g} s an engine in {settings['rounds']} rounds, each way"])
    return [["machine", ""], *rows]


def as_markdown(facts: Facts) -> str:
    """report.md."""
    tables = (engine_table, back_to_back_table, cadence_table, machine_table)
    blocks = [f"# {title(facts)}", f"    {facts['command']}"]
    blocks += [markdown_table(table(facts)) for table in tables]
    blocks.append("\n".join(f"- {note}" for note in _NOTES))
    return "\n\n".join(blocks) + "\n"


def as_html(facts: Facts, distribution: str, timeline: str) -> str:
    """report.html; `distribution` and `timeline` are SVG."""
    return page(title(facts), facts["command"], {
        "Engines": html_table(engine_table(facts)),
        "Back to back": html_table(back_to_back_table(facts)) + distribution,
        "At the camera's cadence": html_table(cadence_table(facts)),
        "Over time": timeline,
        "Machine": f"<div class=text>{html_table(machine_table(facts))}</div>",
        "How to read this": html_list(_NOTES),
    })  # fmt: skip


def page(heading: str, command: str, sections: dict[str, str]) -> str:
    """A page of HTML by its headings; nothing beside it is needed."""
    body = "\n".join(f"<h2>{name}</h2>{content}" for name, content in sections.items())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(heading)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(heading)}</h1><p><code>{escape(command)}</code></p>\n{body}</html>\n"
    )


def title(facts: Facts) -> str:
    """One line."""
    engines = facts["engines"]
    if len(engines) == 1:
        return f"Latency of {engines[0]['name']}"
    best = max(engines, key=lambda engine: float(engine["back_to_back"]["ratio"]["median"]))
    if best is engines[0]:
        return f"Latency of {len(engines)} engines: {best['name']} is the fastest"
    times = best["back_to_back"]["ratio"]["median"]
    return f"Latency: {best['name']} is {times:.1f} times as fast as {engines[0]['name']}"


def write_report(folder: Path, facts: Facts, distribution: str, timeline: str) -> Path:
    """Write the three files, each whole or not at all; return the page's path.

    Raises:
        SinkError: the folder cannot be written.
    """
    return write_files(folder, facts, as_markdown(facts), as_html(facts, distribution, timeline))


def write_files(folder: Path, facts: Facts, markdown: str, html: str) -> Path:
    """report.json, .md and .html, each whole or not at all; return the last. Raises SinkError as `write_report`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "report.json", json.dumps(facts, indent=2) + "\n")
        _write(folder / "report.md", markdown)
        return _write(folder / "report.html", html)
    except OSError as error:
        raise SinkError(f"cannot write a report into {folder}: {error.strerror or error}") from error


def _write(path: Path, text: str) -> Path:
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


def _number(value: float | None, decimals: int = 2) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def markdown_table(table: Table) -> str:
    """The same table for report.md …"""
    rows: Sequence[str] = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([rows[0], "|---" * len(table[0]) + "|", *rows[1:]])


def html_table(table: Table) -> str:
    """… and for report.html."""
    head, *rows = table
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}" for cell in head)]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) for row in rows]
    return f"<div class=wide><table>{''.join(lines)}</table></div>"


def html_list(notes: Sequence[str]) -> str:
    """Notes as a list."""
    return "<ul>" + "".join(f"<li>{escape(note)}" for note in notes) + "</ul>"
