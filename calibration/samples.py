"""What a graph is run on while it is calibrated and judged: real frames of its size, with varied controls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.controls import draw, is_sampled
from runtime.controls import default_value
from runtime.fit import fit_frame
from runtime.frames import Array
from runtime.images import read_image
from runtime.manifest import Control, ImagePort, Manifest


@dataclass(frozen=True)
class Samples:
    """Inputs of a graph by index; read from disk when asked for, so a large set costs no memory.

    The same index always gives the same controls, so that two graphs see the same inputs.
    """

    manifest: Manifest
    paths: tuple[Path, ...]  # of the frames; for a generator of noise, empty
    seed: int = 0
    fit: str = "crop"
    count: int = 0  # for a generator of noise

    def __len__(self) -> int:
        return len(self.paths) or self.count

    def __getitem__(self, index: int) -> dict[str, Array]:
        """ "frame" (1, H, W, C) and every control by name."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        inputs: dict[str, Array] = {}
        if self.manifest.frame is not None:
            inputs[self.manifest.frame.name] = self._frame(index, self.manifest.frame)[None]
        return inputs | {
            control.name: self._control(control, index, rng) for control in self.manifest.controls
        }

    def title(self, index: int) -> str:
        """What to call a sample in a sentence."""
        return str(self.paths[index]) if self.paths else f"draw {index}"

    def first(self, count: int) -> Samples:
        """The first samples, which are a random choice already."""
        return replace(self, paths=self.paths[:count], count=min(self.count, count))

    def _frame(self, index: int, port: ImagePort) -> Array:
        frame = read_image(self.paths[index], port.channels, port.dtype)
        return fit_frame(frame, port.height, port.width, self.fit)

    def _control(self, control: Control, index: int, rng: np.random.Generator) -> Array:
        if control.kind == "image" and self.paths and len(control.shape) == 4:
            return self._reference(control, (index + 1 + int(rng.integers(len(self)))) % len(self))
        return draw(control, rng) if is_sampled(control) else default_value(control)

    def _reference(self, control: Control, index: int) -> Array:
        """Another frame as a reference image: (1, C, H, W) in the control's range, [-1, 1] unless given."""
        _, channels, height, width = control.shape
        frame = fit_frame(read_image(self.paths[index], channels, "uint8"), height, width, self.fit)
        low, high = (
            (-1.0 if control.low is None else control.low),
            (1.0 if control.high is None else control.high),
        )
        planes = frame[..., ::-1].transpose(2, 0, 1)[None]  # BGR as read → RGB as networks take it
        return np.ascontiguousarray(planes / 255 * (high - low) + low, np.float32)
