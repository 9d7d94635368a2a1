"""What the routes share: one engine's manifest, its controls, the live stream and the translator of requests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

from runtime import sources
from runtime.assembly import assemble
from runtime.companions import EngineCompanions
from runtime.control_board import ControlBoard
from runtime.controls import Surroundings
from runtime.errors import SinkError
from runtime.manifest import Manifest, read_manifest, verify_engine
from runtime.notes import note
from runtime.pipeline import Pipeline
from runtime.recording.start import open_recorder
from runtime.service.limits import Budget, Limits
from runtime.service.live import LiveStream
from runtime.service.pictures import LivePictures, Pair
from runtime.service.translator import Translator
from runtime.stream_options import StreamOptions

if TYPE_CHECKING:
    from runtime.recording.recorder import Recorder

STATE_OFF = "off"  # the service has no source


@dataclass
class Service:
    """Open from `open_service` to `close`."""

    manifest: Manifest
    board: ControlBoard
    companions: EngineCompanions  # that compute its controls
    translator: Translator
    pictures: LivePictures
    live: LiveStream | None
    fit: str
    limits: Limits
    recorder: Recorder | None = None
    ladder: tuple[Manifest, ...] = ()  # of the engines below the first
    stopping: Event = field(default_factory=Event)
    stopped: float = 0.0  # time.monotonic() when it began to end

    def __post_init__(self) -> None:
        self.viewers = Budget(self.limits.viewers, "as many streams as allowed are open")
        self.uploads = Budget(self.limits.uploads_bytes, "too many pictures are being received")

    def state(self) -> str:
        """Of the live stream: see LiveStream.state, or "off"."""
        return self.live.state() if self.live else STATE_OFF

    def status(self, pair: Pair | None) -> dict[str, Any]:
        """What a viewer of `pair` must know to believe it, for JSON."""
        live = self.live
        if live is None:
            return {"state": STATE_OFF}
        ladder = live.ladder()
        return {
            "state": live.state(),
            "reason": str(live.error or live.reason),
            "sequence": pair.sequence if pair else None,
            "age_ms": round((monotonic() - pair.captured) * 1e3, 1) if pair else None,
            "stages_ms": live.stats.newest_ms,
            "fps": round(live.stats.fps, 2),
            "frames": live.stats.frames,
            "ladder": {"level": ladder.level, "name": ladder.name} | live.stats.ladder_moves if ladder else None,
            "late": live.stats.late,
            "controls": str(self.board),
        } | live.counters()

    def beats(self) -> bool:
        """Whether there was a sign of life since this was last True: of the live stream, and no request hangs."""
        return (self.live is None or self.live.beats()) and not self.translator.hangs

    def stop(self) -> None:
        """Begin to end: streams finish, no further frame is taken. May be called from a signal handler."""
        self.stopped = self.stopped or monotonic()
        self.stopping.set()
        self.pictures.end()
        if self.live is not None:
            self.live.stop()

    def close(self, seconds: float) -> bool:
        """End what still runs within so many seconds after `stop`; False where something hangs, such as a device."""
        self.stop()
        until = self.stopped + seconds
        ended = self.live is None or self.live.join(max(0.1, until - monotonic()))
        if self.recorder is not None:
            self.recorder.close(max(0.1, until - monotonic()))
        self.companions.close()
        return self.translator.close(max(0.1, until - monotonic())) and ended


def open_service(options: StreamOptions, limits: Limits) -> Service:
    """Open everything; the live stream, where `options` name a source, begins with `live.start`.

    Raises:
        ManifestError, EngineError, ControlError: as `runtime.stream`.
    """
    manifest = verify_engine(options.engine)
    companions = EngineCompanions(options.engine, manifest, options.backend)
    around = Surroundings(manifest, companions, options.fit, note)
    # The command line may name files of this machine, whoever comes over the network may not.
    board = ControlBoard(manifest.controls, options.controls, around, later=replace(around, files=False))
    pictures = LivePictures()
    live = recorder = None
    if options.record is not None and not options.source:
        raise SinkError("--record keeps a stream, and there is none: name it with --camera or --source")
    if options.source:
        recorder = open_recorder(options.record, manifest, options.source, board.__str__)
        build = partial(_build, options, manifest, board, pictures, recorder)
        build()  # what is wrong in the options is told now
        live = LiveStream(build, pictures, options.source.partition(":")[0] in sources.CAMERAS)
    rungs = tuple(read_manifest(path) for path in options.ladder)
    translator = Translator(options.engine, options.backend, limits.waiting, limits.translate_s)
    return Service(manifest, board, companions, translator, pictures, live, options.fit, limits, recorder, rungs)


def _build(
    options: StreamOptions, manifest: Manifest, board: ControlBoard, pictures: LivePictures, recorder: Recorder | None
) -> Pipeline:
    return assemble(options, manifest, board, pictures, recorder=recorder).pipeline
