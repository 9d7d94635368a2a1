"""Two charts as SVG text, drawn without a plotting library; colours come from the page, for light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]
_WIDTH, _HEIGHT = 860, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 30, 44
_TICKS = 5


def line_chart(series: Mapping[str, Points], x_label: str, y_label: str, log_x: bool = False) -> str:
    """One `<svg>` with a line per series, axes from 0 (or over whole decades), a grid and a legend.

    The n-th line has the class `line n`; text and grid use `currentColor`. With `log_x`, every x must be above 0.
    """
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    xs = _decades([x for x, _ in points]) if log_x else _linear([x for x, _ in points])
    ys = _linear([y for _, y in points])
    place_x = _placer(xs, _LEFT, _WIDTH - _RIGHT, log_x)
    place_y = _placer(ys, _HEIGHT - _BOTTOM, _TOP, False)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(y_label)}">']
    parts += [_x_tick(place_x(x), x) for x in xs]
    parts += [_y_tick(place_y(y), y) for y in ys]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text x="14" y="{_HEIGHT / 2:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 14 {_HEIGHT / 2:.0f})">{escape(y_label)}</text>'
    )
    for number, (name, line) in enumerate(series.items()):
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in line)
        parts.append(f'<polyline class="line n{number}" points="{path}"/>')
        parts.append(_legend(number, name))
    return "\n".join([*parts, "</svg>"])


def _x_tick(at: float, value: float) -> str:
    bottom = _HEIGHT - _BOTTOM
    return (
        f'<line class="grid" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}"/>'
        f'<text x="{at:.1f}" y="{bottom + 17}" text-anchor="middle">{value:g}</text>'
    )


def _y_tick(at: float, value: float) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" y1="{at:.1f}" x2="{_WIDTH - _RIGHT}" y2="{at:.1f}"/>'
        f'<text x="{_LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>'
    )


def _legend(number: int, name: str) -> str:
    x, y = _LEFT + 110 * number, 16
    return (
        f'<line class="line n{number}" x1="{x}" y1="{y - 4}" x2="{x + 20}" y2="{y - 4}"/>'
        f'<text x="{x + 26}" y="{y}">{escape(name)}</text>'
    )


def _linear(values: Sequence[float]) -> list[float]:
    """Round ticks from 0 to above the largest value."""
    top = max(*values, 1e-9)
    rough = top / _TICKS
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = magnitude * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough)
    return [round(index * step, 10) for index in range(math.ceil(top / step - 1e-9) + 1)]


def _decades(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 of every decade, just around the values."""
    low, high = min(values), max(values)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    below = [tick for tick in ticks if tick <= low][-1:]
    above = [tick for tick in ticks if tick > high][:1]
    return below + [tick for tick in ticks if low < tick <= high] + above


def _placer(ticks: list[float], start: float, end: float, log: bool) -> Callable[[float], float]:
    """From a value to its place between `start` and `end`, in the units of the picture."""
    scale: Callable[[float], float] = math.log if log else float
    low, high = scale(ticks[0]), scale(ticks[-1])
    return lambda value: start + (scale(value) - low) / ((high - low) or 1.0) * (end - start)
