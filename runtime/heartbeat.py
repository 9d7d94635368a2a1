"""Whether pipelines live: pictures reach the sink, or a camera is known to be lost and is being looked for.

A drop is no sign of life: frames are dropped in front of an engine or a sink that hangs. Neither are words on the
screen: ENGINE HUNG is written by a pipeline whose engine hangs, NO SIGNAL by one whose camera's driver does.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.pipeline import Pipeline


@dataclass
class _Seen:
    """The counters of a pipeline when it last gave a sign of life."""

    pictures: int = 0
    words: int = 0
    turns: int = 0


class Heartbeat:
    """Looks at one pipeline or several; all must live. Used by one thread."""

    def __init__(self, *pipelines: Pipeline) -> None:
        self._waiting = self._pipelines = pipelines
        self._seen = {id(pipeline): _Seen() for pipeline in pipelines}

    def beats(self) -> bool:
        """Whether every pipeline has given a sign of life since this was last True."""
        self._waiting = tuple(pipeline for pipeline in self._waiting if not self._lives(pipeline))
        if self._waiting:
            return False
        self._waiting = self._pipelines
        return True

    def _lives(self, pipeline: Pipeline) -> bool:
        now = _Seen(pipeline.stats.frames, pipeline.no_signal, pipeline.watch.turns + pipeline.refused)
        seen = self._seen[id(pipeline)]
        # The camera's thread turns, and so does the sink's, which has words to show once it knows their size.
        looked_for = now.turns != seen.turns and (now.words != seen.words or not now.pictures)
        if now.pictures == seen.pictures and not looked_for:
            return False
        self._seen[id(pipeline)] = now
        return True
