"""Write docs/systems.md: every system, what it costs, where it differs from its paper, and what it was seen to learn.

python -m benchmarks.systems_page                 # from the registry and benchmarks/results/systems/*.json
python -m benchmarks.systems_page --count         # count all multiply-accumulates anew
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.evidence.rows import FOLDER, Row, read_rows
from benchmarks.evidence.tasks import TASKS
from benchmarks.part_macs import GMACS_FILE, Costs, counted
from models.errors import run_command
from models.list import Entry, entry
from models.registry import COMPRESSIONS, SYSTEMS, system_class

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "systems.md"
PAIRED = {"paired": "yes", "high_resolution": "made from one image"}
NEEDS = {
    "unpaired": "two folders of images",
    "paired": "two folders of registered images, or one of side-by-side ones",
    "images": "one folder of images",
    "labelled": "images with a class (class folders or a file)",
    "adaptation": "labelled images of one domain, images of another",
    "high_resolution": "one folder of large images",
    "domains": "one folder for each domain",
    "labelled_sets": "an attribute list, class folders, or both",
    "instances": "two folders of images with masks of their instances",
    "boxes": "two folders of images with boxes of their instances",
    "two_images": "two images",
    "bridged": "two folders of images, labels of one; further images between them where there are some",
}
TABLED = ("cogan", "dann", "unit_adaptation")  # by benchmarks.digits
HEAD = """<!-- Written by `python -m benchmarks.systems_page`; change the systems, or the rows, and run it again. -->
# Systems

Each system is one file of `models/systems/` and one line of `python -m models.list`; they train, export, are gated and
run through the same commands. Parameters and multiply-accumulates are those of what ships, at the paper's settings and
size; exact: a transposed convolution works once per input position.
"""
COMPRESSED = """## What compresses them

Each takes any of the image → image systems above for a teacher, or a frozen network of somebody else's, and trains a
student for INT8 ([compress.md](compress.md)); figures are in
[compact.md](../benchmarks/results/compact.md).
"""
EVIDENCE = """
## What they were seen to learn

Short trainings on real images, on one core of a CPU, from the recipes for small machines with the changes that each row
names: `python -m benchmarks.evidence ROW --data DATA --out RUNS` does it again, and `benchmarks/results/systems/` holds
the rows. They show that a system learns, not how well it can: minutes instead of days, pictures of 28 to 256 px, one
data set of one plant, subject or city each. *Learned* means that the trained network beats the same network untrained
and the identity, in every figure that counts (bold), by the margin that its judge asks for; where it does not, the row
says so. The adaptation of digits has [a table of its own](../benchmarks/results/digits/README.md).

**Which precision to ship, and why.** Under each row stands what the gate said of FP16 and of INT8, with the worst of
the frames, and how many times as fast as fp32 INT8 ran in OpenVINO where it was timed. Ship INT8 where it passes and is
faster; FP16 where INT8 is refused or gains nothing. TensorRT builds from the same graphs. Companions (style
encoders, mapping networks, classifiers of clusters) stay fp32: they run when a style changes, not with every frame.
"""


def _differs(name: str) -> str:
    """What its file says under "Differs from the paper"."""
    doc = inspect.getdoc(sys.modules[system_class(name).__module__]) or ""
    found = re.search(r"^Differs from the paper: (.*?)(?:\n\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else "–"


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def _overview(found: Entry, cost: Mapping[str, Costs], rows: Mapping[str, Row]) -> list[str]:
    own = [row for row in rows.values() if row.system == found.name]
    parts = [f"{part} {count / 1e6:.2f} M" for part, count in found.parts.items()]
    costs = cost[found.name]
    gmacs = [f"{part} {value:.3g}" for part, value in costs.gmacs.items()]
    passed = [name.upper() for row in own for name, found in row.precision.items() if found.verdict == "passed"]
    evidence = [f"[{row.name}](#{row.name}): {'learned' if row.learned() else 'not learned'}" for row in own]
    evidence += ["[the digit table](../benchmarks/results/digits/README.md)"] if found.name in TABLED else []
    return [
        f"[{found.name}](../models/systems/{Path(inspect.getfile(system_class(found.name))).name})",
        found.paper, str(found.year), PAIRED.get(found.data, "no"), NEEDS.get(found.data, found.data),
        "; ".join(costs.controls) or "–", "; ".join(parts), "; ".join(gmacs) + f" ({costs.size} px)",
        ", ".join(dict.fromkeys(passed)) or "–", "; ".join(evidence) or "none yet",
    ]  # fmt: skip


def _summary(rows: list[Row]) -> str:
    """One line for each row: the first figure that counts, and the verdict."""
    lines = []
    for row in rows:
        figure = next(iter(row.best))
        values = [_number(of[figure]) if figure in of else "–" for of in (row.trained, row.untrained, row.identity)]
        verdict = "learned" if row.learned() else "**not learned**"
        lines.append([f"[{row.name}](#{row.name})", verdict, figure, *values, f"{row.cpu_minutes:.1f}"])
    return _table(["row", "", "figure", "trained", "untrained", "identity", "CPU minutes"], lines)


def _picture(row: Row) -> list[str]:
    """Its grid, where it is made of pictures that may be shown."""
    path = FOLDER / f"{row.name}.jpg"
    return [f"![{row.name}](../{path.relative_to(ROOT)})", ""] if path.is_file() else []


def _evidence(row: Row) -> str:
    """One row with its three columns of figures."""
    ways = {"high": "more is better", "low": "less is better"}
    figures = [
        [f"**{name}** ({ways[row.best[name][0]]})" if name in row.best else name]
        + [_number(values[name]) if name in values else "–" for values in (row.trained, row.untrained, row.identity)]
        for name in row.trained
    ]
    settings = ", ".join(f"`{name} = {json.dumps(value)}`" for name, value in row.settings.items())
    context = "; ".join(f"{name} {_number(value)}" for name, value in row.context.items())
    return "\n".join(
        [
            f"### {row.name}",
            "",
            f"{'**Learned.**' if row.learned() else '**Not learned.**'} {row.seen}".rstrip(),
            "",
            f"System `{row.system}`, recipe `{row.recipe}`, images `{row.images}` at {row.size} px, {row.steps} steps "
            f"of {row.batch} ({row.cpu_minutes:.1f} CPU minutes, seed {row.seed}), {row.parameters / 1e6:.2f} M "
            f"parameters. Settings: {settings}.",
            "",
            f"Measured on {row.held_out} {row.measured}." + (f" To compare: {context}." if context else ""),
            "",
            _table(["", "trained", "untrained", "identity"], figures),
            *_picture(row),
            _gated(row),
        ]
    )


def _gated(row: Row) -> str:
    """Which precision passes the gate, and why not."""
    said = [f"{name.upper()} {found.said()}" for name, found in row.precision.items()]
    return f"Gate against the fp32 graph: {', '.join(said)}.\n" if said else ""


def page(rows: Mapping[str, Row], costs: Mapping[str, Costs]) -> str:
    """The whole document."""
    entries = [entry(name) for name in sorted(SYSTEMS)]
    columns = ["system", "paper", "year", "paired?", "data it needs", "controls at inference", "parameters",
               "exact GMACs", "gate passed", "evidence"]  # fmt: skip
    overview = _table(columns, [_overview(found, costs, rows) for found in entries])
    differs = _table(["system", "differs from the paper"], [[found.name, _differs(found.name)] for found in entries])
    ordered = [rows[name] for name in TASKS if name in rows]
    missing = sorted(set(SYSTEMS) - {row.system for row in rows.values()} - {*TABLED})
    tail = f"\nNo training has been judged yet of: {', '.join(missing)}.\n" if missing else ""
    methods = [
        [f"[{name}](../models/compress/distill/{name}.py)", found.paper, str(found.year), _differs(name)]
        for name, found in ((name, entry(name)) for name in COMPRESSIONS)
    ]
    compressions = _table(["compression", "paper", "year", "differs from the paper"], methods)
    systems = [HEAD, overview, "## Where they differ from their papers", "", differs, COMPRESSED, compressions]
    return "\n".join([*systems, EVIDENCE.strip(), "", _summary(ordered), tail, *map(_evidence, ordered)])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.systems_page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", action="store_true", help="count all multiply-accumulates anew (a minute)")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the rows (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write (default: %(default)s)")
    args = parser.parse_args()
    costs = counted(GMACS_FILE, {} if args.count else Costs.read(GMACS_FILE))
    args.out.write_text(page(read_rows(args.results), costs), encoding="utf-8")
    print(args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
