"""What a graph is run on while it is calibrated and judged: real frames of its size, with varied controls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.controls import Draws
from runtime.companions import EngineCompanions
from runtime.fit import fit_frame
from runtime.frames import Array
from runtime.images import read_image
from runtime.manifest import ImagePort, Manifest


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
    companions: EngineCompanions | None = None  # what computes styles
    references: tuple[Path, ...] = ()  # pictures that styles are taken of; the frames where there are none

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
        others = self.references or self.paths[:index] + self.paths[index + 1 :] or self.paths
        return inputs | replace(self.draws, references=others).values(index, rng)

    @property
    def draws(self) -> Draws:
        """Where controls come from."""
        return Draws(self.manifest, self.companions, self.references or self.paths, self.fit)

    def title(self, index: int) -> str:
        """What to call a sample in a sentence."""
        return str(self.paths[index]) if self.paths else f"draw {index}"

    def first(self, count: int) -> Samples:
        """The first samples, which are a random choice already."""
        return replace(self, paths=self.paths[:count], count=min(self.count, count))

    def _frame(self, index: int, port: ImagePort) -> Array:
        frame = read_image(self.paths[index], port.channels, port.dtype)
        return fit_frame(frame, port.height, port.width, self.fit)
