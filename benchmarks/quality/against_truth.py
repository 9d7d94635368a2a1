"""Answers picture by picture: beside the true picture, or beside the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from statistics import fmean

from tqdm import tqdm

from benchmarks.quality import pixels
from benchmarks.quality.bootstrap import mean_interval
from benchmarks.quality.metric import Answer, Column, Figure, Given, truth
from runtime.fit import fit_frame
from runtime.frames import Array

TOLERANCES = (5, 10)  # levels of 255

Compare = Callable[[Array, Array], float]


def mean_figure(
    given: Given, name: str, each: Mapping[str, float], best: str, unit: str = "", note: str = ""
) -> Figure:
    """The mean of one number a picture."""
    values = list(each.values())
    low, high = mean_interval(values, given.seed, given.resamples)
    return Figure(name, fmean(values), low, high, best, unit, note, each)


def _compared(given: Given, column: Column, compare: Compare, name: str) -> dict[str, float]:
    names = tqdm(column.pictures.names, desc=f"{name}, {column.name}", leave=False)
    return {picture: compare(*truth(given, column, index)) for index, picture in enumerate(names)}


def answer_with(compare: Compare, name: str, best: str, unit: str = "") -> Answer:
    """The mean over all pictures of a comparison with the truth."""

    def answer(given: Given, column: Column) -> list[Figure]:
        return [mean_figure(given, name, _compared(given, column, compare, name), best, unit)]

    return answer


def lpips(given: Given, column: Column) -> list[Figure]:
    """LPIPS over SqueezeNet."""
    each = _compared(given, column, given.features.lpips.distance, "lpips")
    return [mean_figure(given, "LPIPS (SqueezeNet)", each, "low")]


def pixel_accuracy(given: Given, column: Column) -> list[Figure]:
    """One figure for each tolerance."""
    figures = []
    for tolerance in TOLERANCES:
        compare, name = partial(pixels.pixel_accuracy, tolerance=tolerance), f"pixel accuracy, δ = {tolerance}"
        each = _compared(given, column, compare, name)
        figures.append(mean_figure(given, name, {k: 100 * v for k, v in each.items()}, "high", "%"))
    return figures


def kept_edges(given: Given, column: Column) -> list[Figure]:
    """SSIM of the edges with the source's."""
    assert given.source is not None
    each = {}
    for index, name in enumerate(tqdm(column.pictures.names, desc=f"edges, {column.name}", leave=False)):
        picture = column.pictures[index]
        source = fit_frame(given.source[index], picture.shape[0], picture.shape[1], given.fit)
        each[name] = pixels.edge_ssim(picture, source)
    return [mean_figure(given, "SSIM of the edges with the source", each, "")]
