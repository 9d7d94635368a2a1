"""The engines of a ladder as one Engine: all open and warm, of which the ladder's level says whose turn it is.

    plan = plan_ladder(0.033, [Path("fp16.onnx"), Path("int8.onnx")], "letterbox")
    engine = plan.open(open_engine)  # takes frames of any size, gives pictures of the first engine's
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from runtime.banner import draw_banner
from runtime.controls import default_value
from runtime.engine import Engine, infer
from runtime.errors import EngineError
from runtime.frames import Array, Frame
from runtime.ladder import Ladder
from runtime.manifest import Manifest, read_manifest
from runtime.notes import Say, note
from runtime.rung_fit import RungFit
from runtime.rungs import check_rungs

ORIGINAL = "original"
UNTRANSLATED = "ORIGINAL: NOT TRANSLATED"
_WARM_UPS = 3  # of which the first still finds its memory
_SHOWN_S = 2.0  # that a picture says the step after a move


@dataclass
class LadderPlan:
    """A ladder whose engines fit one another, before they are open."""

    ladder: Ladder
    paths: tuple[Path, ...]
    manifests: tuple[Manifest, ...]
    fit: str
    original: bool
    opened: list[dict[str, Any]] = field(default_factory=list)  # what opening them showed, for JSON

    def open(self, open_one: Callable[[Path], Engine], say: Say = note) -> LadderEngine:
        """Open and warm up every engine; say how long each takes and what memory that took.

        Raises:
            ManifestError, EngineError: as `open_engine`; those open already are closed.
        """
        engines: list[Engine] = []
        self.opened.clear()
        before = resident_mib()
        try:
            for path in self.paths:
                engines.append(open_one(path))
                self._note_opening(engines[-1], path)
        except BaseException:
            for engine in engines:
                engine.close()
            raise
        for text in self._sentences(resident_mib() - before):
            say(text)
        fits = [RungFit(self.manifests[0], manifest, self.fit) for manifest in self.manifests]
        return LadderEngine(self.ladder, engines, fits)

    def _note_opening(self, engine: Engine, path: Path) -> None:
        before = resident_mib()
        ms = warm_up(engine)
        self.opened.append({
            "name": path.name, "engine_sha256": engine.manifest.sha256["engine"], "backend": engine.backend,
            "warm_ms": round(ms, 2), "warm_mib": round(resident_mib() - before, 1),
        })  # fmt: skip

    def _sentences(self, grown_mib: float) -> list[str]:
        each = ", ".join(f"{fact['name']} {fact['warm_ms']:.0f} ms" for fact in self.opened)
        last = ", then the original" if self.original else ""
        deadline = f"{self.ladder.deadline_s * 1e3:g} ms"
        texts = [f"ladder for {deadline}: {each}{last}; its engines took {max(0.0, grown_mib):.0f} MiB of memory"]
        for better, cheaper in pairwise(self.opened):
            if cheaper["warm_ms"] > better["warm_ms"]:
                texts.append(f"{cheaper['name']} is not faster than {better['name']} here: that step will not help")
        return texts

    def describe(self) -> dict[str, Any]:
        """In JSON: the ladder, and its steps with what opening them showed and how many frames each made."""
        facts = self.opened or [{"name": path.name} for path in self.paths]
        steps = [*facts, {"name": ORIGINAL}] if self.original else facts
        counted = [step | {"frames": frames} for step, frames in zip(steps, self.ladder.frames, strict=True)]
        return self.ladder.describe() | {"steps": counted}


def plan_ladder(
    deadline_s: float, paths: Sequence[Path], fit: str, original: bool = True, say: Say = note
) -> LadderPlan:
    """Check that engines can stand on one ladder; none is opened.

    Raises:
        ManifestError: an engine has no good manifest.
        EngineError: they do not fit one another, or there is only one step.
    """
    manifests = tuple(read_manifest(path) for path in paths)
    check_rungs(manifests, fit, original, say)
    names = [path.name for path in paths]
    if original:
        names.append(ORIGINAL)
    if len(names) < 2:
        raise EngineError("a ladder of one engine has no step to take: name a cheaper one with --ladder")
    return LadderPlan(Ladder(deadline_s, names), tuple(paths), manifests, fit, original)


class LadderEngine:
    """An Engine for frames of any size. One frame is in flight: a second would only wait and age.

    Frames go to the level that holds when they are submitted; the level below the last engine is the frame itself,
    which says so.
    """

    depth = 1

    def __init__(self, ladder: Ladder, engines: Sequence[Engine], fits: Sequence[RungFit]) -> None:
        self.manifest, self.backend = engines[0].manifest, engines[0].backend
        self._ladder, self._engines, self._fits = ladder, list(engines), list(fits)
        self._controls = [{control.name for control in engine.manifest.controls} for engine in engines]
        self._pending: tuple[int, Frame] | None = None
        self._level, self._say_until = ladder.level, 0.0

    def submit(self, inputs: Mapping[str, Array]) -> None:
        """As Engine, with "frame" (1, H, W, C) of any H and W."""
        if self._pending is not None:
            raise EngineError("collect() first: one frame is already in flight")
        level, frame = self._ladder.level, inputs["frame"][0]
        if level < len(self._engines):
            own = {name: value for name, value in inputs.items() if name in self._controls[level]}
            self._engines[level].submit({**own, "frame": self._fits[level].to_engine(frame)[None]})
        self._pending = level, frame

    def collect(self) -> dict[str, Array]:
        """"translated" (1, H, W, C) of the first engine's size; the array is the caller's."""
        assert self._pending is not None
        (level, frame), self._pending = self._pending, None
        if level < len(self._engines):
            translated = self._engines[level].collect()["translated"][0]
            picture = self._fits[level].to_first(translated, frame)
        else:
            picture = draw_banner(self._fits[0].untouched(frame), UNTRANSLATED, at_foot=True)
        self._ladder.frames[level] += 1
        return {"translated": self._marked(picture, level)[None]}

    def _marked(self, picture: Frame, level: int) -> Frame:
        """The picture; for two seconds after a move it names the engine that made it."""
        if level != self._level:
            self._level, self._say_until = level, monotonic() + _SHOWN_S
        if level == len(self._engines) or monotonic() > self._say_until:
            return picture
        words = f"STEP {level} OF {len(self._ladder.names) - 1}: {self._ladder.names[level]}"
        return draw_banner(picture, words, at_foot=True)

    @property
    def is_stalled(self) -> bool:
        """Whether one of its engines, where they are watched, is."""
        return any(getattr(engine, "is_stalled", False) for engine in self._engines)

    def close(self) -> None:
        """Close all."""
        self._pending = None
        for engine in self._engines:
            engine.close()


def warm_up(engine: Engine) -> float:
    """Translate gray with the default controls; the milliseconds that it takes once everything has its memory."""
    port = engine.manifest.frame
    assert port is not None
    inputs = {control.name: default_value(control) for control in engine.manifest.controls}
    frame = np.full((1, *port.shape), np.iinfo(port.dtype).max // 2, port.dtype)
    spans = []
    for _ in range(_WARM_UPS):
        start = perf_counter()
        infer(engine, {**inputs, "frame": frame})
        spans.append(perf_counter() - start)
    return min(spans[1:]) * 1e3


def resident_mib() -> float:
    """Memory of this process that is in RAM; where the system does not say, the most that ever was."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * resource.getpagesize() / (1 << 20)
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1 << 20) if sys.platform == "darwin" else most / 1024
