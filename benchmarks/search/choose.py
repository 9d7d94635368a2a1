"""Which shapes are worth training: those that fill the budget, of unlike kinds, and one at half of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from benchmarks.search.fit import Costs
from benchmarks.search.shapes import Shape
from runtime.errors import EngineError

MARGIN = 0.97  # of the budget, by prediction: a shape that misses it by a hair is trained for nothing


def choose(shapes: Sequence[Shape], costs: Costs, budget_ms: float, count: int) -> list[tuple[Shape, float]]:
    """Up to `count` shapes and their predicted ms, the most promising first.

    Of every pair of widths the deepest within the budget; pairs by work and weights, whose product says more before
    training than either. The last stands at half the budget, for the Pareto plot.

    Raises:
        EngineError: none meets the budget; names the fastest.
    """
    predicted = {shape: costs.predict(shape) for shape in shapes}
    affordable = [shape for shape in shapes if predicted[shape] <= MARGIN * budget_ms]
    if not affordable:
        fastest = min(predicted, key=lambda shape: predicted[shape])
        raise EngineError(
            f"no student meets {budget_ms:g} ms on this device: the fastest, {fastest.name}, takes "
            f"{predicted[fastest]:.2f} ms; raise --budget, or lower --size"
        )
    chosen = _best_of_families(affordable)[: max(1, count - 1)]
    cheap = _best_of_families([shape for shape in affordable if predicted[shape] <= MARGIN * budget_ms / 2])
    further = [shape for shape in (*cheap[:1], *_best_of_families(affordable)) if shape not in chosen]
    chosen += further[: count - len(chosen)]
    return [(shape, predicted[shape]) for shape in chosen]


def promise(shape: Shape) -> float:
    """Work and weights, as a sum of logarithms."""
    return log(shape.macs(256, 256, 3)) + log(shape.parameters(3))


def _best_of_families(shapes: Sequence[Shape]) -> list[Shape]:
    """One of each pair of widths, the most promising first."""
    best: dict[tuple[int, ...], Shape] = {}
    for shape in sorted(shapes, key=promise, reverse=True):
        best.setdefault((shape.width, shape.deep_width), shape)
    return list(best.values())
