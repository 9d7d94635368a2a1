"""The quality report: report.html with worst cases first, .md, .json, and grid.jpg to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2

from benchmarks.quality.bootstrap import LEVEL
from benchmarks.quality.metric import Column, Figure, Given
from benchmarks.quality.sheet import least_varied, overview, ranked, worst_cases
from benchmarks.report import Table, html_list, html_table, markdown_table, page, write_files
from runtime.errors import SinkError

Facts = dict[str, Any]

_ARROWS = {"high": " ↑", "low": " ↓", "": ""}
_SHOTS = (
    "<style>.shots img { display: block; }"
    " .shots td { font-size: 13px; vertical-align: top; text-align: left; }</style>"
)


def figure_table(facts: Facts) -> Table:
    """A row for each figure: value [interval] in every column."""
    columns = [column["name"] for column in facts["columns"]]
    rows = []
    for figure in facts["figures"]:
        unit = f", {figure['unit']}" if figure["unit"] else ""
        rows.append([f"{figure['name']}{unit}{_ARROWS[figure['best']]}",
                     *(_cell(figure["columns"].get(column)) for column in columns)])  # fmt: skip
    return [["", *columns], *rows]


def difference_table(facts: Facts) -> Table:
    """How far the other columns lie from the first, picture by picture; ≠ where the interval leaves 0 out."""
    compared = [figure for figure in facts["figures"] if figure["difference_from_first"]]
    names = [c["name"] for c in facts["columns"] if any(c["name"] in f["difference_from_first"] for f in compared)]
    rows = []
    for figure in compared:
        cells = []
        for name in names:
            found = figure["difference_from_first"].get(name)
            sure = found and found["low"] is not None and found["low"] * found["high"] > 0
            cells.append(_cell(found, "+") + (" ≠" if sure else ""))
        rows.append([f"{figure['name']}{_ARROWS[figure['best']]}", *cells])
    return [["minus the first", *names], *rows] if rows else []


def column_table(facts: Facts) -> Table:
    """What was judged."""
    rows = [[c["name"], str(c["pictures"]), c.get("precision", "–"), c.get("backend", "–"), c.get("sha256", "–")[:12]]
            for c in facts["columns"]]  # fmt: skip
    return [["column", "pictures", "precision", "backend", "SHA-256"], *rows]


def question_table(facts: Facts) -> Table:
    """Which question each metric answers."""
    asked = {figure["metric"]: figure["question"] for figure in facts["figures"]}
    return [["metric", "question"], *([name, question] for name, question in asked.items())]


def notes(facts: Facts) -> list[str]:
    """What must be said with the numbers."""
    settings = facts["settings"]
    told = [
        f"[ ]: {LEVEL:.0%} bootstrap interval over pictures, {settings['resamples']} resamples (Fréchet distances: at "
        f"most 200), seed {settings['seed']}. Frames of one video resemble each other: intervals over them are narrow.",
    ]
    told += [f"{c['name']}: {c['noise']}." for c in facts["columns"] if c.get("noise", "none") != "none"]
    for figure in facts["figures"]:
        by_note: dict[str, list[str]] = {}
        for column, found in figure["columns"].items():
            if found["note"]:
                by_note.setdefault(found["note"], []).append(column)
        for note, columns in by_note.items():
            where = "" if len(columns) == len(figure["columns"]) else f" ({', '.join(columns)})"
            told.append(f"{figure['name']}{where}: {note}.")
    return told


def left_out(facts: Facts) -> list[str]:
    """What was not answered, and why."""
    return [f"{entry['metric']}: {entry['why']}" for entry in facts["left_out"]]


def as_markdown(facts: Facts) -> str:
    """report.md."""
    blocks = [f"# {facts['title']}", f"    {facts['command']}", markdown_table(figure_table(facts))]
    if differences := difference_table(facts):
        blocks.append(markdown_table(differences))
    blocks += ["![worst cases first](grid.jpg)", *(f"- {note}" for note in notes(facts))]
    blocks += [markdown_table(column_table(facts)), markdown_table(question_table(facts))]
    if missing := left_out(facts):
        blocks += ["Left out:", *(f"- {entry}" for entry in missing)]
    text = "\n\n".join(blocks) + "\n"
    return text.replace(".\n\n- ", ".\n- ")


def as_html(facts: Facts, found: Mapping[str, Mapping[str, Figure]], columns: Sequence[Column], given: Given) -> str:
    """report.html."""
    sections = {"Figures": html_table(figure_table(facts))}
    if differences := difference_table(facts):
        sections["Difference from the first column"] = html_table(differences)
    sections["What must be said with them"] = html_list(notes(facts))
    for name, by_column in found.items():
        if ranked(by_column, columns):
            sections[f"Worst cases: {escape(name)}"] = worst_cases(by_column, columns, given)
        elif (first := next(iter(by_column))) and by_column[first].drawn:
            column = next(column for column in columns if column.name == first)
            sections[f"Draws: {escape(name)} · {escape(first)}"] = least_varied(by_column[first], column)
    sections["Columns"] = f"<div class=text>{html_table(column_table(facts))}</div>"
    sections["Questions"] = f"<div class=text>{html_table(question_table(facts))}</div>"
    if missing := left_out(facts):
        sections["Left out"] = html_list(missing)
    machine = [["", ""], *([name, str(value)] for name, value in (facts["machine"] | facts["versions"]).items())]
    sections["Machine"] = f"<div class=text>{html_table(machine)}</div>"
    return page(facts["title"], facts["command"], sections).replace("</style><h1>", f"</style>{_SHOTS}<h1>", 1)


def write_report(
    folder: Path, facts: Facts, found: Mapping[str, Mapping[str, Figure]], columns: Sequence[Column], given: Given
) -> Path:
    """The four files, each whole or not at all; return the page's path. Raises SinkError."""
    html = as_html(facts, found, columns, given)
    sheet, grid = overview(found, columns, given), folder / "grid.jpg"
    done, data = cv2.imencode(".jpg", sheet, (cv2.IMWRITE_JPEG_QUALITY, 88))
    path = write_files(folder, facts, as_markdown(facts), html)
    try:
        partial = grid.with_name(grid.name + ".tmp")
        partial.write_bytes(data.tobytes() if done else b"")
        partial.replace(grid)
    except OSError as error:
        raise SinkError(f"cannot write {grid}: {error.strerror or error}") from error
    return path


def _cell(found: Facts | None, sign: str = "") -> str:
    if not found or found["value"] is None:
        return "–"
    interval = "" if found["low"] is None else f" [{found['low']:{sign}.4g}, {found['high']:{sign}.4g}]"
    return f"{found['value']:{sign}.4g}{interval}"
