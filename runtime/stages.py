"""What a pipeline joins, how frames pass through it, and what of a frame is on its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.engine import Engine
from runtime.frames import Array, Frame
from runtime.ladder import Ladder
from runtime.sinks import Mark, Sink
from runtime.sources import Source

if TYPE_CHECKING:
    from runtime.recording.recorder import Recorder


@dataclass(frozen=True)
class Stages:
    """What a pipeline joins. Each is called by the one thread that it belongs to."""

    open_source: Callable[[], Source]
    prepare: Callable[[Frame], Frame]  # to what the engine takes; may raise FrameError
    open_engine: Callable[[], Engine]
    sink: Sink
    # The engine's inputs beside the frame; asked for before each, with the frame and the name of its file.
    controls: Callable[[Frame, str], Mapping[str, Array]] = lambda frame, name: {}
    original: Callable[[Frame], Frame] = lambda frame: frame  # what stands beside the translated frame (Mode.compare)
    blank: Frame | None = None  # as large as its pictures, for words before the first; None: they wait for it
    ladder: Ladder | None = None  # judges every delivered frame
    recorder: Recorder | None = None  # is offered what the sink gets, and the original; the caller closes it


@dataclass(frozen=True)
class Mode:
    """How frames pass."""

    realtime: bool = False
    frames: int | None = None  # end after so many translated frames
    compare: bool = False  # deliver the original beside the translated frame


@dataclass
class Item:
    """A frame on its way and the times of its Passage so far."""

    mark: Mark
    frame: Frame  # as the engine takes it
    captured: float
    ready: float
    picture: Frame | None = None  # translated
    submitted: float = 0.0
    translated: float = 0.0
