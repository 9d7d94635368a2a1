"""Values of a generator's controls for calibration: drawn anew for every frame, from what the control really takes.

Calibrating with one style or one label would under-range everything behind the layers that they steer. Labels and
numbers of instances go round, so that a set of a few frames has seen each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from runtime.companions import EngineCompanions
from runtime.controls import default_value
from runtime.fit import fit_frame
from runtime.frames import Array
from runtime.images import read_image
from runtime.manifest import Control, ImagePort, Manifest


@dataclass(frozen=True)
class Draws:
    """All controls of an engine for the sample of some index.

    `companions` give the styles that only an engine can: from noise through a mapping network, and from `references`
    (pictures) through an encoder; by turns where there are both.
    """

    manifest: Manifest
    companions: EngineCompanions | None = None
    references: tuple[Path, ...] = ()
    fit: str = "crop"  # of reference images that are controls themselves

    def values(self, index: int, rng: Generator) -> dict[str, Array]:
        """Every control by name. Labels and counts of instances depend on the index alone, the rest on `rng`."""
        values, turn, before = {}, index, 0
        for control in self.manifest.controls:
            ways = _ways(control)
            values[control.name] = self._value(control, (turn + before) % ways, rng)
            turn, before = turn // ways, before + turn % ways  # all move from frame to frame, and all pairs come
        return values

    def is_sampled(self, control: Control) -> bool:
        """Whether the values differ; an image or style that nothing here can draw keeps its default."""
        bounded = control.low is not None and control.high is not None
        plain = control.kind in ("noise", "label", "mask", "boxes") or bounded or control.distribution != ""
        pictured = control.kind == "image" and len(control.shape) == 4 and bool(self.references)
        return plain or pictured or bool(self._engines(control))

    def _value(self, control: Control, turn: int, rng: Generator) -> Array:
        if control.kind == "image" and self.references and len(control.shape) == 4:
            return self._reference(control, rng)
        if engines := self._engines(control):
            return self._computed(control, engines[int(rng.integers(len(engines)))], rng)
        return draw(control, rng, turn, self.manifest.frame)

    def _engines(self, control: Control) -> list[str]:
        """Which companions can compute a control that has no plain distribution."""
        if self.companions is None or control.distribution:
            return []
        held = self.manifest.companions
        encoders = [control.companion] if control.companion in held and self.references else []
        return [control.sampler] * (control.sampler in held) + encoders

    def _computed(self, control: Control, role: str, rng: Generator) -> Array:
        assert self.companions is not None
        own = self.companions.manifest_of(role).controls
        labels = [f"{c.name}={c.names[rng.integers(len(c.names))]}" for c in own if c.kind == "label" and c.names]
        if role == control.sampler:
            return self.companions.sample(control, int(rng.integers(1 << 31)), labels)
        return self.companions.encode(control, self._picture(rng), labels)

    def _picture(self, rng: Generator) -> Path:
        return self.references[rng.integers(len(self.references))]

    def _reference(self, control: Control, rng: Generator) -> Array:
        """A reference image: (1, C, H, W) in the control's range, [-1, 1] unless given."""
        _, channels, height, width = control.shape
        frame = fit_frame(read_image(self._picture(rng), channels, "uint8"), height, width, self.fit)
        low, high = -1.0 if control.low is None else control.low, 1.0 if control.high is None else control.high
        planes = frame[..., ::-1].transpose(2, 0, 1)[None]  # BGR as read → RGB as networks take it
        return np.ascontiguousarray(planes / 255 * (high - low) + low, np.float32)


def constant_controls(draws: Draws) -> list[str]:
    """Those that every sample has at their default."""
    return [control.name for control in draws.manifest.controls if not draws.is_sampled(control)]


def all_turns(controls: Sequence[Control]) -> int:
    """How many samples it takes until every label has been with every number of instances."""
    return int(np.prod([_ways(control) for control in controls], dtype=np.int64))


def draw(control: Control, rng: Generator, turn: int, port: ImagePort | None = None) -> Array:
    """One value, float32, of the control's shape and within its range; `turn` counts labels and instances."""
    if control.kind == "label":
        value = _label(control, turn)
    elif control.kind == "mask":
        value = _masks(control, rng, turn)
    elif control.kind == "boxes":
        value = _boxes(control, rng, turn, port)
    else:
        value = _vector(control, rng)
    if control.low is not None or control.high is not None:
        value = np.clip(value, control.low, control.high)
    return np.ascontiguousarray(value, np.float32)


def _ways(control: Control) -> int:
    """How many turns a control has: its classes, or no instance to all of them."""
    if control.kind == "label":
        return max(control.shape[-1], len(control.names), 1)
    return control.shape[1] + 1 if control.kind in ("mask", "boxes") else 1


def _bounds(control: Control) -> tuple[float, float]:
    """The control's range, 0 … 1 unless given."""
    return 0.0 if control.low is None else control.low, 1.0 if control.high is None else control.high


def _vector(control: Control, rng: Generator) -> Array:
    """Noise, styles and scalars; noise is normal unless something else is said."""
    bounded = control.low is not None and control.high is not None
    if control.distribution == "normal" or (control.kind == "noise" and not control.distribution):
        return rng.standard_normal(control.shape)
    if control.distribution == "uniform" or bounded:
        return rng.uniform(*_bounds(control), control.shape)
    return default_value(control)


def _label(control: Control, turn: int) -> Array:
    """One class: 1 at its place of the last axis, or its number where the control is a single one."""
    if control.shape[-1] == 1:
        return np.full(control.shape, turn, np.float32)
    value = np.zeros(control.shape, np.float32)
    value[..., turn] = 1
    return value


def _masks(control: Control, rng: Generator, count: int) -> Array:
    """`count` filled slots of (1, N, H, W), each one rectangle; empty slots keep the default."""
    value = default_value(control)
    low, high = _bounds(control)
    height, width = control.shape[2:]
    for slot in range(count):
        top, left = rng.integers(height), rng.integers(width)
        value[0, slot] = low
        value[0, slot, top : top + rng.integers(1, height + 1), left : left + rng.integers(1, width + 1)] = high
    return value


def _boxes(control: Control, rng: Generator, count: int, port: ImagePort | None) -> Array:
    """`count` filled slots of (1, N, 5): x1 y1 x2 y2 in pixels of the frame, at least a pixel each way, and 1."""
    value = np.zeros(control.shape, np.float32)
    height, width = (port.height, port.width) if port else (1, 1)
    for slot in range(count):
        x, y = np.sort(rng.uniform(0, width - 1, 2)), np.sort(rng.uniform(0, height - 1, 2))
        value[0, slot] = x[0], y[0], x[1] + 1, y[1] + 1, 1
    return value
