"""List the systems: paper, training data, what ships, how large it is. Examples:

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
from models.registry import SYSTEMS, build_system, system_class


@dataclass(frozen=True)
class Entry:
    """One system with its paper settings."""

    name: str
    title: str  # what it does, in the words of its file
    paper: str
    year: int
    data: str  # a key of models.data.datasets.DATASETS
    task: str
    parts: dict[str, int]  # deployable → parameters
    parameters: int  # of all networks in training


def entry(name: str) -> Entry:
    """What a system's file and its networks say; built without memory, on the meta device."""
    cls = system_class(name)
    doc = inspect.getdoc(sys.modules[cls.__module__]) or ""
    paper = " ".join(re.findall(r"^Paper: (.*?\d{4})\.$", doc, re.MULTILINE | re.DOTALL)[0].split())
    with torch.device("meta"):
        system = build_system(name)
    parts = {part: _count(deployable.module) for part, deployable in system.deployables().items()}
    title = re.split(r"[;.]\s", doc, maxsplit=1)[0]
    return Entry(name, title, paper, int(paper[-4:]), cls.data, cls.task, parts, _count(system))


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _line(row: Entry) -> str:
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
    rows = [entry(name) for name in SYSTEMS]
    print(json.dumps([asdict(row) for row in rows], indent=2) if args.json else "\n".join(map(_line, rows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
