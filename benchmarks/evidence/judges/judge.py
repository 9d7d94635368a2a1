"""What a judge is: it reads held-out images once, and then says the same figures of any network, or of none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from torch import Tensor

from benchmarks.evidence.tasks import Task
from models.recipe import Recipe
from models.system import System

Figures = dict[str, float]


@dataclass(frozen=True)
class Case:
    """What is judged: a task with its folders' names filled in, and the recipe of its run."""

    task: Task
    recipe: Recipe
    weights: Path  # folder of SqueezeNet's and LPIPS' weights


class Judge(Protocol):
    """One kind of evidence. `best` says of each figure that counts whether more or less is better, and by how much."""

    measured: ClassVar[str]  # in a sentence: on what, by what
    best: ClassVar[dict[str, tuple[str, float]]]  # figure → way and margin, as in rows.Row

    def __init__(self, case: Case) -> None: ...

    @property
    def count(self) -> int:
        """How many held-out images are judged."""

    def figures(self, system: System | None) -> Figures:
        """The figures of a system, or, with None, of what costs nothing: the input itself, as `identity` explains."""

    def context(self) -> Figures:
        """What one needs to read them by: the classifier's accuracy, what real images get."""

    def rows(self, system: System) -> dict[str, Tensor]:
        """A grid to look at."""
