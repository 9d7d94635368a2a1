"""The digit table as report.html, report.md and report.json."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

from benchmarks.report import Facts, Table, html_list, html_table, markdown_table, page, write_files

_NOTES = (
    "Accuracy on the target's test images, whose labels nobody else reads; mean and standard deviation over seeds.",
    "The weights are those at the end of each run, averaged over its last steps where the recipe says so. The authors' "
    "scripts keep the best test score of a run, which is higher.",
    "MNIST: its 10 000 test images, 8 000 to learn from and the last 2 000 to be tested on, where the papers have "
    "60 000 and 10 000. USPS: 7 291 and 2 007 as they come, where the papers part all of them at random, which is "
    "easier: USPS's own test images are known to be harder than its training images.",
    "Published: table 2 of Liu et al., \"Unsupervised Image-to-Image Translation Networks\", NIPS 2017.",
)


def accuracy_table(facts: Facts) -> Table:
    """A row for each method, a pair of columns for each direction."""
    ways = list(dict.fromkeys(result["way"] for result in facts["results"]))
    methods = list(dict.fromkeys(result["method"] for result in facts["results"]))
    rows = [["", *(cell for way in ways for cell in (way, "published")), "kimg a run", "CPU s a run"]]
    for method in methods:
        own = [result for result in facts["results"] if result["method"] == method]
        row = [method]
        for way in ways:
            published = facts["published"].get(method, {}).get(way)
            row += [_cell([r["accuracy"] for r in own if r["way"] == way]), f"{published:.4f}" if published else "–"]
        rows.append([*row, f"{own[0]['kimg']:g}", f"{mean(result['cpu_s'] for result in own):.0f}"])
    return rows


def run_table(facts: Facts) -> Table:
    """Every run."""
    head = ["run", "seed", "accuracy", "kimg", "batch", "CPU s"]
    return [head] + [
        [
            f"{r['method']}, {r['way']}", str(r["seed"]), f"{r['accuracy']:.4f}", f"{r['kimg']:g}", str(r["batch"]),
            f"{r['cpu_s']:.0f}",
        ]
        for r in facts["results"]
    ]  # fmt: skip


def recipe_table(facts: Facts) -> Table:
    """Where and how."""
    rows = [["trained", facts["created"]], *([name, str(value)] for name, value in facts["machine"].items())]
    return [["recipe or machine", ""], *([name, recipe] for name, recipe in facts["recipes"].items()), *rows]


def write_table(folder: Path, facts: Facts) -> Path:
    """Write the three files, each whole or not at all; return the page's path.

    Raises:
        SinkError: the folder cannot be written.
    """
    tables = {"Accuracy": accuracy_table(facts), "Runs": run_table(facts), "Recipes and machine": recipe_table(facts)}
    blocks = [f"# {facts['title']}", f"    {facts['command']}", *map(markdown_table, tables.values())]
    blocks.append("\n".join(f"- {note}" for note in _NOTES))
    sections = {name: html_table(table) for name, table in tables.items()} | {"How to read this": html_list(_NOTES)}
    html = page(facts["title"], facts["command"], sections)
    return write_files(folder, facts, "\n\n".join(blocks) + "\n", html)


def _cell(values: list[float]) -> str:
    if not values:
        return "–"
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread} ({len(values)})"
