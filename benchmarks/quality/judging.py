"""Asks every metric of every column, and compares the columns: the facts of report.json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from tqdm import tqdm

from benchmarks.quality.bootstrap import mean_interval
from benchmarks.quality.columns import IDENTITY
from benchmarks.quality.metric import Column, Figure, Given, Metric
from benchmarks.quality.needs import Options, missing
from runtime.errors import InlocoError

Facts = dict[str, Any]


class LeftOut(list[dict[str, str]]):
    """Metrics that were not asked for by name and could not be answered, each with the reason."""

    def add(self, metric: str, why: str) -> None:
        self.append({"metric": metric, "why": why})


def judge(
    metrics: Sequence[Metric], columns: Sequence[Column], given: Given, options: Options, asked: bool
) -> tuple[dict[str, dict[str, Figure]], LeftOut, dict[str, Metric]]:
    """Figure's name → column's name → figure; what was left out; and which metric each figure is of.

    Raises:
        InlocoError: a metric that was asked for by name cannot be answered.
    """
    found: dict[str, dict[str, Figure]] = {}
    left_out, of = LeftOut(), {}
    for metric in tqdm(metrics, desc="judging", unit="metric", leave=False):
        if why := missing(metric.needs, options):
            left_out.add(metric.name, why)
            continue
        for column in [column for column in columns if applies(metric, column)]:
            try:
                figures = metric.answer(given, column)
            except InlocoError as error:
                if asked:
                    raise
                left_out.add(metric.name, f"{column.name}: {error}")
                break
            for figure in figures:
                found.setdefault(figure.name, {})[column.name] = figure
                of[figure.name] = metric
    return found, left_out, of


def applies(metric: Metric, column: Column) -> bool:
    """Flat frames and draws are an engine's; the identity has none."""
    return ("engine" not in metric.needs or bool(column.flat)) and ("draws" not in metric.needs or bool(column.draws))


def difference(figure: Figure, first: Figure, given: Given) -> Facts | None:
    """How much a column lies above the first one, picture by picture; None where there are no numbers of pictures."""
    names = [name for name in figure.each if name in first.each]
    if not names:
        return None
    values = [figure.each[name] - first.each[name] for name in names]
    low, high = mean_interval(values, given.seed, given.resamples)
    return {"value": rounded(fmean(values)), "low": rounded(low), "high": rounded(high)}


def facts_of(found: dict[str, dict[str, Figure]], of: dict[str, Metric], given: Given) -> list[Facts]:
    """The figures as JSON."""
    rows = []
    for name, by_column in found.items():
        first, *others = by_column
        figure = by_column[first]
        differences = {column: difference(by_column[column], figure, given) for column in others if column != IDENTITY}
        rows.append({
            "name": name, "metric": of[name].name, "question": of[name].question, "best": figure.best,
            "unit": figure.unit, "columns": {column: _facts(one) for column, one in by_column.items()},
            "difference_from_first": {column: facts for column, facts in differences.items() if facts},
        })  # fmt: skip
    return rows


def _facts(figure: Figure) -> Facts:
    return {
        "value": rounded(figure.value), "low": rounded(figure.low), "high": rounded(figure.high), "note": figure.note,
        "each": {name: rounded(value) for name, value in figure.each.items()},
    }  # fmt: skip


def rounded(value: float) -> float | None:
    """To five digits; None for nan, which JSON does not have."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
