"""The values of an engine's controls while it runs: one thread sets them, another takes them before every frame.

    board = ControlBoard(manifest.controls, ["style=seed:3"])
    engine.submit({"frame": frame, **board.values()})
    board.set("style=seed:7")  # from any thread; the next frame has it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from runtime.controls import (
    NOWHERE,
    Surroundings,
    Value,
    allowed,
    checked_value,
    control_of,
    default_value,
    fixed_values,
    in_range,
    parse_assignments,
)
from runtime.errors import ControlError
from runtime.frames import Array, Frame
from runtime.manifest import Control

_SHOWN = 16  # a control of more numbers is described by what it was set to, not by its numbers
DEFAULT = "default"


@dataclass(frozen=True)
class _State:
    """All values at one moment, and the texts that they were set by. Replaced as a whole, never changed."""

    values: Mapping[str, Value]
    texts: Mapping[str, str]


class ControlBoard:
    """Every control has a value at every moment; a change is seen whole, or not at all.

    What is slow in a change (reading a picture, encoding it) happens in the thread that calls `set`, so `values` never
    waits. `around`: what values may depend on besides their control (runtime/companions.py has a bundle's);
    `later`: the same of changes that come after the first assignments, where it is different.

    Raises:
        ControlError: an assignment is wrong, as in runtime/controls.py.
    """

    def __init__(
        self, controls: Sequence[Control], assignments: Sequence[str] = (), around: Surroundings = NOWHERE,
        later: Surroundings | None = None,
    ) -> None:
        self.controls = tuple(controls)
        self._around = around
        self._changing = Lock()
        self._state = _State(
            {control.name: default_value(control) for control in self.controls},
            {control.name: DEFAULT for control in self.controls},
        )
        self.update(assignments)
        self._around = later or around

    def values(self, frame: Frame | None = None, name: str = "") -> dict[str, Array]:
        """Every control by name, float32, as the engine takes it, for this frame of the file `name`, if it has one.

        The arrays are never written to again.

        Raises:
            ControlError: one depends on the frame, and there is none, or what finds it fails.
        """
        state, values = self._state, {}
        for control in self.controls:
            value = state.values[control.name]
            if not isinstance(value, np.ndarray):
                if frame is None:
                    raise ControlError(f"control {control.name!r} depends on the frame, of which there is none here")
                value = in_range(value(frame, name), control)
            values[control.name] = value
        return values

    def set(self, assignment: str) -> None:
        """Change one control, e.g. "style=seed:7"; "style=default" brings its default back.

        Raises:
            ControlError: it is wrong; the control keeps its value.
        """
        self.update([assignment])

    def update(self, assignments: Sequence[str]) -> None:
        """Change several controls between the same two frames.

        Raises:
            ControlError: one is wrong, or a control is given twice; all keep their values.
        """
        found = parse_assignments(assignments, self.controls, self._around)
        self._replace(found, dict(assignment.split("=", 1) for assignment in assignments))

    def parse(self, assignments: Sequence[str]) -> dict[str, Array]:
        """The values that assignments mean, changing nothing. Raises ControlError as `update`, and of changing ones."""
        return fixed_values(parse_assignments(assignments, self.controls, self._around))

    def put(self, name: str, values: Array) -> None:
        """Change one control to numbers, of any shape with as many as it has (copied).

        Raises:
            ControlError: there is no such control, another count, or a value out of range.
        """
        control = control_of(name, self.controls)
        self._replace({name: checked_value(values, control)}, {name: f"{values.size} number(s)"})

    def describe(self) -> dict[str, dict[str, Any]]:
        """Each control in JSON: kind, what it was set to, what may be written, and its numbers if few."""
        state = self._state
        return {control.name: _described(control, state) for control in self.controls}

    def __str__(self) -> str:
        """The assignments that would bring this state about."""
        return " ".join(f"{name}={text}" for name, text in self._state.texts.items())

    def _replace(self, values: Mapping[str, Value], texts: Mapping[str, str]) -> None:
        with self._changing:
            state = self._state
            self._state = _State({**state.values, **values}, {**state.texts, **texts})


def _described(control: Control, state: _State) -> dict[str, Any]:
    value = state.values[control.name]
    about: dict[str, Any] = {
        "kind": control.kind, "shape": list(control.shape), "set": state.texts[control.name],
        "allowed": allowed(control), "names": list(control.names),
    }  # fmt: skip
    if isinstance(value, np.ndarray) and value.size <= _SHOWN:
        about["value"] = value.ravel().tolist()
    return about
