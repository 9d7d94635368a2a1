"""The plots of the report as inline SVG: text and axes take the page's colour, so they read in light and in dark."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.timing import BackToBack

# Of middle lightness, to be seen on white and on near-black (after Okabe & Ito, told apart by the colour-blind).
COLOURS = ("#3b8fd6", "#e07a1f", "#1fa37a", "#c86bb0", "#b59a00", "#d1495b", "#6f8f2f", "#7d7dd8")
_PAGE = "#010203"  # drawn in this colour, then replaced by the page's own
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "inloco", "font.family": "sans-serif", "font.size": 10,
    "text.color": _PAGE, "axes.labelcolor": _PAGE, "axes.edgecolor": _PAGE, "xtick.color": _PAGE,
    "ytick.color": _PAGE, "grid.color": _PAGE, "grid.alpha": 0.15, "legend.frameon": False,
}  # fmt: skip
_CDF_POINTS = 400  # of a line
_TIMELINE_POINTS = 600  # of an engine


@contextmanager
def _axes(x_label: str, y_label: str) -> Iterator[tuple[Axes, io.StringIO]]:
    """Axes to draw on; on leaving, the SVG stands in the text."""
    svg = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(True, which="major")
        axes.spines[["top", "right"]].set_visible(False)
        yield axes, svg
        figure.legend(loc="outside upper left", ncols=2)
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})


def _finish(svg: io.StringIO, label: str) -> str:
    text = svg.getvalue()
    start = text.index("<svg ")  # without the XML prologue
    picture = text[start:].replace(_PAGE, "currentColor")
    return picture.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def latency_cdf(latencies_ms: Mapping[str, Sequence[float]], deadline_ms: float) -> str:
    """The share of frames that are done within a time, for every engine; the deadline as a dashed line."""
    with _axes("latency, ms (logarithmic)", "share of frames") as (axes, svg):
        for colour, (name, values) in zip(_colours(), latencies_ms.items(), strict=False):
            shares = np.linspace(0, 1, min(_CDF_POINTS, len(values)))
            axes.plot(np.quantile(values, shares), shares, color=colour, label=name, linewidth=1.8)
        axes.axvline(deadline_ms, color=_PAGE, linestyle="--", linewidth=1, alpha=0.6)
        axes.annotate(f" {deadline_ms:.1f} ms", (deadline_ms, 0.02), fontsize=9)
        _log_ms(axes.set_xscale, axes.xaxis)
    return _finish(svg, "cumulative distribution of the latencies")


def timeline(results: Mapping[str, BackToBack]) -> str:
    """Every frame's latency at its time in the run: the rounds, and what disturbed them."""
    with _axes("seconds since the run began", "latency, ms (logarithmic)") as (axes, svg):
        for colour, (name, result) in zip(_colours(), results.items(), strict=False):
            values = result.latencies_ms
            kept = _kept(values)
            seconds = [result.started_s[index] for index in kept]
            axes.plot(seconds, [values[index] for index in kept], ".", color=colour, label=name, markersize=4)
        _log_ms(axes.set_yscale, axes.yaxis)
    return _finish(svg, "latency of every frame over the run")


def _kept(values: Sequence[float]) -> list[int]:
    """Evenly spaced frames, few enough for a page, and the slowest of all."""
    evenly = np.linspace(0, len(values) - 1, min(_TIMELINE_POINTS, len(values))).round().astype(int)
    slowest = np.argsort(values)[-20:]
    return sorted({int(index) for index in (*evenly, *slowest)})


def _colours() -> Iterator[str]:
    while True:
        yield from COLOURS


def _log_ms(set_scale: object, axis: mpl.axis.Axis) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5."""
    assert callable(set_scale)
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
