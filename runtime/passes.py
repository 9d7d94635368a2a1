"""More masks than an engine has slots: it goes over its own picture again, with the next set of masks.

InstaGAN is trained so ("sequential mini-batch translation", Mo et al., ICLR 2019): the greatest masks come first, and
each pass starts from the picture of the one before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from runtime.errors import EngineError
from runtime.frames import Array
from runtime.manifest import Manifest

if TYPE_CHECKING:
    from runtime.engine import Engine


class PassesEngine:
    """An Engine whose masks may be (1, k·S, H, W), k ≥ 1: sets of the S slots that the engine inside has.

    One set costs nothing. `translated` is that of the last pass, the masks that it gives are those of all.
    """

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        assert manifest.frame is not None
        self.manifest, self.backend, self.depth = manifest, engine.backend, engine.depth
        self._engine = engine
        self._frame, self._picture = manifest.frame.name, manifest.translated[0].name
        (self._masks,) = (control.name for control in manifest.controls if control.kind == "mask")
        (self._given,) = (output.name for output in manifest.outputs if output.kind == "mask")
        (self._slots,) = (control.shape[1] for control in manifest.controls if control.kind == "mask")
        self._pending: deque[list[Mapping[str, Array]]] = deque()  # inputs of every pass of each frame
        self._first: deque[dict[str, Array]] = deque()  # results of first passes, kept while others were awaited

    def submit(self, inputs: Mapping[str, Array]) -> None:
        """As Engine, with any number of sets."""
        if len(self._pending) >= self.depth:
            raise EngineError("collect() first: as many frames are in flight as the engine takes")
        masks = inputs[self._masks]
        if masks.shape[1] % self._slots or not masks.shape[1]:
            raise EngineError(f"{self._masks!r} has {masks.shape[1]} slots: give sets of {self._slots}")
        sets = [np.ascontiguousarray(part) for part in np.split(masks, masks.shape[1] // self._slots, axis=1)]
        passes = [{**inputs, self._masks: part} for part in sets]
        self._engine.submit(passes[0])
        self._pending.append(list(passes))

    def collect(self) -> dict[str, Array]:
        """As Engine; after further passes the arrays are the caller's."""
        _, *further = self._pending.popleft()
        outputs = self._first.popleft() if self._first else self._engine.collect()
        if not further:
            return outputs
        outputs = _copied(outputs)
        while len(self._first) < len(self._pending):  # the engine must be free before it can take its own picture
            self._first.append(_copied(self._engine.collect()))
        given = [outputs[self._given]]
        for inputs in further:
            self._engine.submit({**inputs, self._frame: outputs[self._picture]})
            outputs = _copied(self._engine.collect())
            given.append(outputs[self._given])
        return outputs | {self._given: np.concatenate(given, axis=1)}

    def close(self) -> None:
        """Close the engine inside."""
        self._pending.clear()
        self._first.clear()
        self._engine.close()


def _copied(outputs: Mapping[str, Array]) -> dict[str, Array]:
    return {name: value.copy() for name, value in outputs.items()}
