"""From the times of whole probes to the time of each part, and from those to any shape's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from benchmarks.search.shapes import Shape
from runtime.errors import EngineError


@dataclass(frozen=True)
class Costs:
    """Milliseconds of each part, and how far the probes lie from the sums of their parts."""

    ms: dict[str, float]
    worst_error: float  # share of a probe's time

    def predict(self, shape: Shape) -> float:
        """Milliseconds of a shape."""
        return sum(count * self.ms[part] for part, count in shape.parts.items())


def fit(shapes: Sequence[Shape], times_ms: Sequence[float]) -> Costs:
    """Non-negative least squares of relative errors: no part takes less than no time, and fast shapes count as much.

    Raises:
        EngineError: the probes are too few to tell their parts apart.
    """
    parts = list(dict.fromkeys(part for shape in shapes for part in shape.parts))
    counts = np.array([[shape.parts.get(part, 0.0) for part in parts] for shape in shapes])
    if np.linalg.matrix_rank(counts) < len(parts):
        raise EngineError(
            f"{len(shapes)} timed shapes do not tell {len(parts)} parts apart: time the whole folder of probes that "
            "--probes wrote"
        )
    times = np.array(times_ms)
    found, _ = nnls(counts / times[:, None], np.ones(len(times)))
    errors = np.abs(counts @ found / times - 1)
    return Costs(dict(zip(parts, found.tolist(), strict=True)), float(errors.max()))
