"""A row of evidence: what was trained on what, how long, and what the judge said; kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from models.errors import DataError

FOLDER = Path(__file__).parents[1] / "results" / "systems"
Figures = dict[str, float]


@dataclass(frozen=True)
class Precision:
    """What the gate said of the part at a lower precision, against its fp32 graph."""

    verdict: str  # "passed" or "refused"
    mean_psnr: float | None  # dB; None where no graph could be made
    worst_psnr: float | None  # dB, of the worst frame
    bias: float | None  # levels of 255
    missed: list[str]  # in words
    faster: float | None = None  # times as fast as the fp32 graph on the CPU that gated it, in OpenVINO

    def said(self) -> str:
        """In words."""
        figures = [] if self.mean_psnr is None else [f"mean {self.mean_psnr:.1f}, worst {self.worst_psnr:.1f} dB"]
        clock = [] if self.faster is None else [f"{self.faster:.2g} times as fast"]
        return f"{self.verdict} ({'; '.join([*figures, *clock, *self.missed])})"


@dataclass(frozen=True)
class Row:
    """All that the page says of a run."""

    name: str
    system: str  # of the registry
    recipe: str  # of models/recipes
    settings: dict[str, object]  # laid over the recipe; {data} is the folder of the real images
    images: str  # folder of the real images
    size: int  # px, of the training's crops
    kimg: float
    steps: int
    batch: int
    seed: int
    cpu_minutes: float
    parameters: int  # of the part that was judged
    measured: str
    held_out: int  # images
    best: dict[str, tuple[str, float]]  # the figures that count: "high" or "low", and the margin that is asked for
    trained: Figures
    untrained: Figures
    identity: Figures
    context: Figures
    seen: str = ""  # what a person saw in the grid
    precision: dict[str, Precision] = field(default_factory=dict)  # "fp16", "int8"; empty = not gated

    def learned(self) -> bool:
        """Whether the trained network beats the untrained one and the identity in every figure that counts."""
        return all(
            better(self.trained[name], other[name], *wanted)
            for name, wanted in self.best.items()
            if name in self.trained
            for other in (self.untrained, self.identity)
            if name in other
        )


def better(one: float, other: float, way: str, margin: float) -> bool:
    """By the margin at least; of "low" figures it is a share of the other one."""
    return one >= other + margin if way == "high" else one <= other * (1 - margin)


def write_row(row: Row, folder: Path = FOLDER) -> Path:
    """FOLDER/NAME.json, whole or not at all; what a person wrote under `seen` stays."""
    path = folder / f"{row.name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(json.dumps(_rounded(asdict(row)), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def read_rows(folder: Path = FOLDER) -> dict[str, Row]:
    """All rows by name; raises DataError on a file that is none."""
    rows = {}
    for path in sorted(folder.glob("*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            values["best"] = {name: tuple(wanted) for name, wanted in values["best"].items()}
            values["precision"] = {name: Precision(**said) for name, said in values.get("precision", {}).items()}
            row = Row(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path} is no row of evidence ({error}); make it anew: benchmarks.evidence") from error
        rows[row.name] = row
    return rows


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return value
