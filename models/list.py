"""List the systems, and the ways to compress what they trained: paper, training data, what ships, its size. Examples:

    python -m models.list
    python -m models.list --json
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
import textwrap
from dataclasses import asdict, dataclass

import torch

from models.errors import run_command
from models.registry import COMPRESSIONS, SYSTEMS, build_system, system_class


@dataclass(frozen=True)
class Entry:
    """One system with its paper settings, or one compression."""

    name: str
    title: str  # what it does, in the words of its file
    paper: str
    year: int
    data: str  # a key of models.data.datasets.DATASETS; a compression's is its teacher's
    task: str
    parts: dict[str, int]  # deployable → parameters; none of a compression, whose student is chosen
    parameters: int  # of all networks in training; 0 = depends on the teacher


def entry(name: str) -> Entry:
    """What a system's file and its networks say; built without memory, on the meta device."""
    cls = system_class(name)
    doc = inspect.getdoc(sys.modules[cls.__module__]) or ""
    paper = " ".join(re.findall(r"^Paper: (.*?\d{4})\.$", doc, re.MULTILINE | re.DOTALL)[0].split())
    title, year = re.split(r"[;.]\s", doc, maxsplit=1)[0], int(paper[-4:])
    if name in COMPRESSIONS:
        return Entry(name, title, paper, year, "as its teacher", "compression", {}, 0)
    with torch.device("meta"):
        system = build_system(name)
    parts = {part: _count(deployable.module) for part, deployable in system.deployables().items()}
    return Entry(name, title, paper, year, cls.data, cls.task, parts, _count(system))


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _line(row: Entry) -> str:
    if row.task == "compression":
        return f"{row.name:<16}{row.year}  {row.data:<17}{textwrap.shorten(row.title, 96, placeholder=' …')}"
    parts = textwrap.shorten(
        ", ".join(f"{part} {count / 1e6:.2f} M" for part, count in row.parts.items()), 64, placeholder=" …"
    )
    title = textwrap.shorten(row.title, 72, placeholder=" …")
    return f"{row.name:<16}{row.year}  {row.data:<17}{title}  [{parts}; {row.parameters / 1e6:.1f} M in training]"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m models.list", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="for machines: a list of objects")
    args = parser.parse_args()
    rows = [entry(name) for name in (*SYSTEMS, *COMPRESSIONS)]
    print(json.dumps([asdict(row) for row in rows], indent=2) if args.json else "\n".join(map(_line, rows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
