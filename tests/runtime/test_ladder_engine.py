"""The engines of a ladder in one pipeline: sizes, framing, banners, checks, and moves under a real load."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from runtime.assembly import assemble
from runtime.banner import draw_banner
from runtime.control_board import ControlBoard
from runtime.engine import Engine, infer, open_engine
from runtime.errors import EngineError
from runtime.fit import fit_frame
from runtime.frames import Array, Frame
from runtime.ladder import Ladder, Tuning
from runtime.ladder_engine import UNTRANSLATED, LadderEngine, LadderPlan, plan_ladder
from runtime.manifest import Control, ImagePort, Manifest, read_manifest
from runtime.pipeline import Mode, Pipeline, Stages
from runtime.rung_fit import RungFit
from runtime.sinks import Mark
from runtime.sources import Watch
from runtime.sources.synthetic import draw_pattern, open_synthetic
from runtime.stream_options import StreamOptions
from runtime.tiling import TiledEngine
from runtime.watched_engine import WatchedEngine

Write = Callable[..., Path]
PATIENCE_S = 180.0


def manifest(height: int, width: int, scale: int = 1, channels: int = 3) -> Manifest:
    frame = ImagePort("frame", height, width, channels)
    picture = ImagePort("translated", height * scale, width * scale, channels)
    return Manifest(f"{height}x{width}", {"engine": ""}, frame=frame, translated=(picture,))


def test_a_ladder_in_tiles_gives_whole_frames_at_every_step(write_engine: Write) -> None:
    """Identity engines of two sizes: each step gives the frame back, from its own tiles."""
    paths = [write_engine("a.onnx"), write_engine("b.onnx", 32, 32)]
    plan = plan_ladder(0.1, paths, "tile", say=lambda sentence: None)
    engine = plan.open(lambda path: TiledEngine(open_engine(path)), lambda sentence: None)
    frame = np.random.default_rng(0).integers(0, 256, (100, 150, 3), np.uint8)
    for level in range(3):
        plan.ladder.level = level
        picture = infer(engine, {"frame": frame[None]})["translated"][0]
        assert picture.shape == frame.shape
        assert np.array_equal(picture[:88], frame[:88]), "above the words"
    engine.close()


class Level:
    """An engine whose picture is `level` everywhere; it counts, and burns `seconds` of its thread's time a frame."""

    backend, depth = "level", 1

    def __init__(self, level: int, port: ImagePort, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self.manifest = Manifest(f"level{level}", {"engine": ""}, frame=port, translated=(port,))
        self.seen: list[tuple[int, ...]] = []
        self.closed = False
        self._level, self._seconds = level, seconds
        self._pending: deque[Array] = deque()

    def submit(self, inputs: Mapping[str, Array]) -> None:
        self.seen.append(inputs["frame"].shape)
        self._pending.append(inputs["frame"])

    def collect(self) -> dict[str, Array]:
        until = time.thread_time() + self._seconds()
        while time.thread_time() < until:
            np.sqrt(np.arange(1000.0))
        return {"translated": np.full_like(self._pending.popleft(), self._level)}

    def close(self) -> None:
        self.closed = True


def test_every_level_has_its_turn_and_says_so_for_a_while() -> None:
    ports = [ImagePort("frame", 48, 64, 3), ImagePort("frame", 24, 32, 3)]
    engines = [Level(50, ports[0]), Level(90, ports[1])]
    ladder = Ladder(0.1, ["a.onnx", "b.onnx", "original"])
    fits = [RungFit(engines[0].manifest, engine.manifest, "letterbox") for engine in engines]
    engine = LadderEngine(ladder, engines, fits)
    frame = draw_pattern(96, 128, 3, "uint8")[:, :128].copy()
    assert (infer(engine, {"frame": frame[None]})["translated"] == 50).all(), "no move, no words"
    ladder.level = 1
    picture = infer(engine, {"frame": frame[None]})["translated"][0]
    assert np.array_equal(picture, draw_banner(np.full((48, 64, 3), 90, np.uint8), "STEP 1 OF 2: b.onnx", True))
    engine._say_until = 0.0
    assert (infer(engine, {"frame": frame[None]})["translated"] == 90).all()
    ladder.level = 2
    shown = fit_frame(frame, 48, 64, "letterbox")
    for _ in range(2):
        engine._say_until = 0.0
        picture = infer(engine, {"frame": frame[None]})["translated"][0]
        assert np.array_equal(picture, draw_banner(shown, UNTRANSLATED, True)), "always, not for a while"
    assert engines[1].seen == [(1, 24, 32, 3)] * 2
    assert ladder.frames == [1, 2, 2]
    engine.submit({"frame": frame[None]})
    with pytest.raises(EngineError, match="one frame is already in flight"):
        engine.submit({"frame": frame[None]})
    engine.close()
    assert all(one.closed for one in engines)


def test_what_does_not_fit_on_one_ladder_is_refused(write_engine: Write) -> None:
    style = Control("style", "style", (1, 3))
    first = write_engine("first.onnx")
    styled = write_engine("styled.onnx", controls=(style,))
    longer = write_engine("longer.onnx", controls=(Control("style", "style", (1, 8)),))
    gray = write_engine("gray.onnx", channels=1)
    noise = write_engine("noise.onnx", frame=None)
    masked = [
        write_engine(f"m{height}.onnx", height, controls=(Control("boxes", "boxes", (1, 4, 4)),)) for height in (32, 48)
    ]
    for paths, words in (
        ([first, gray], r"gray.onnx takes 1 channel\(s\) of uint8, first.onnx 3 channel\(s\)"),
        ([first, styled], "has a control 'style' that first.onnx lacks"),
        ([styled, longer], "is not that of styled.onnx"),
        ([first, noise], "noise.onnx is not one image in, one image out"),
        (masked, "belongs to frames of one size"),
    ):
        with pytest.raises(EngineError, match=words):
            plan_ladder(0.03, paths, "letterbox")
    with pytest.raises(EngineError, match="has no step to take"):
        plan_ladder(0.03, [first], "letterbox", original=False)
    said: list[str] = []
    assert plan_ladder(0.03, [styled, first], "letterbox", say=said.append).ladder.names[-1] == "original"
    assert said == ["first.onnx has no control 'style': it has no effect on that step of the ladder"]


def test_a_lower_engine_gets_only_the_controls_it_has(write_engine: Write) -> None:
    class Strict(Level):
        def submit(self, inputs: Mapping[str, Array]) -> None:
            assert set(inputs) == {"frame"}
            super().submit(inputs)

    port = ImagePort("frame", 48, 64, 3)
    engine = Strict(9, port)
    ladder = LadderEngine(Ladder(0.1, ["a", "original"]), [engine], [RungFit(engine.manifest, engine.manifest, "crop")])
    picture = infer(ladder, {"frame": np.zeros((1, 48, 64, 3), np.uint8), "style": np.zeros((1, 3), np.float32)})
    assert (picture["translated"] == 9).all()


def test_all_engines_are_open_and_warm_before_the_first_frame_and_that_is_said(write_engine: Write) -> None:
    paths = [write_engine("a.onnx"), write_engine("b.onnx", 24, 32)]
    made: list[Level] = []

    def open_one(path: Path) -> Engine:
        found = read_manifest(path)
        assert found.frame is not None
        made.append(Level(1, found.frame))
        made[-1].manifest = found
        return made[-1]

    said: list[str] = []
    plan = plan_ladder(0.033, paths, "letterbox")
    plan.open(open_one, said.append)
    assert [len(engine.seen) for engine in made] == [3, 3]
    pattern = r"ladder for 33 ms: a.onnx \d+ ms, b.onnx \d+ ms, then the original; its engines took \d+ MiB of memory"
    assert re.fullmatch(pattern, said[0])
    steps = plan.describe()["steps"]
    assert [step["name"] for step in steps] == ["a.onnx", "b.onnx", "original"]
    assert steps[0]["engine_sha256"] == read_manifest(paths[0]).sha256["engine"]
    assert [step["frames"] for step in steps] == [0, 0, 0], "warming up is no frame"


def test_an_engine_that_cannot_open_leaves_none_open(write_engine: Write) -> None:
    made = []

    def open_one(path: Path) -> Engine:
        if made:
            raise EngineError("no memory")
        made.append(Level(1, ImagePort("frame", 48, 64, 3)))
        return made[0]

    plan = plan_ladder(0.033, [write_engine("a.onnx"), write_engine("b.onnx")], "letterbox")
    with pytest.raises(EngineError, match="no memory"):
        plan.open(open_one)
    assert made[0].closed


class Screen:
    """A sink that remembers the levels of the last pictures."""

    def __init__(self) -> None:
        self.levels: deque[int] = deque(maxlen=5)
        self.shapes: set[tuple[int, ...]] = set()

    def write(self, frame: Frame, mark: Mark) -> None:
        self.levels.append(int(frame[24, 32, 0]))
        self.shapes.add(frame.shape)

    def close(self) -> None:
        """Nothing."""

    def abort(self) -> None:
        """Nothing."""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


def test_a_real_load_brings_the_ladder_down_and_its_end_brings_it_up_again(caplog: pytest.LogCaptureFixture) -> None:
    """The better engine burns 0.35 s of processor time a frame while the load lasts; the deadline is 0.3 s."""
    load = threading.Event()
    load.set()
    large, small = ImagePort("frame", 48, 64, 3), ImagePort("frame", 24, 32, 3)
    ladder = Ladder(0.3, ["good.onnx", "cheap.onnx"], Tuning(first_pause_s=0.2))
    first, second = manifest(48, 64), manifest(24, 32)
    fits = [RungFit(first, first, "letterbox"), RungFit(first, second, "letterbox")]
    engines = [Level(50, large, lambda: 0.35 if load.is_set() else 0.0), Level(90, small)]
    screen, watch = Screen(), Watch(frozen_after_s=0)
    stages = Stages(
        lambda: open_synthetic("96x96@50", large), lambda frame: frame,
        lambda: WatchedEngine(lambda: LadderEngine(ladder, engines, fits), 30.0, watch.watchdog), screen, ladder=ladder,
    )  # fmt: skip
    pipeline = Pipeline(stages, Mode(realtime=True), watch)
    running = threading.Thread(target=pipeline.run)
    running.start()
    try:
        wait_for(lambda: pipeline.stats.ladder_moves["down"] >= 1 and 90 in screen.levels)
        assert "ladder: down to step 1, cheap.onnx" in caplog.text
        load.clear()
        wait_for(lambda: pipeline.stats.ladder_level == 0 and set(screen.levels) == {50})
        assert "ladder: up to step 0, good.onnx" in caplog.text
    finally:
        pipeline.stop()
        running.join(PATIENCE_S)
    assert screen.shapes == {(48, 64, 3)}
    moves = pipeline.stats.ladder_moves
    assert moves["down"] == moves["up"] == ladder.downs == ladder.ups
    assert pipeline.stats.late >= 3
    assert sum(ladder.frames) >= pipeline.stats.frames


def test_a_deadline_without_a_live_source_and_a_ladder_without_a_deadline_are_refused(write_engine: Write) -> None:
    path = write_engine()
    found = read_manifest(path)
    board = ControlBoard(found.controls)
    for options, words in (
        (StreamOptions(path, "synthetic:", "null:", deadline_s=0.03), "a deadline is for cameras: add --realtime"),
        (StreamOptions(path, "synthetic:@9", "null:", ladder=(path,)), "add --deadline, such as --deadline 33ms"),
        (StreamOptions(path, "synthetic:@9", "null:", original=False), "add --deadline"),
    ):
        with pytest.raises(EngineError, match=words):
            assemble(options, found, board)
    job = assemble(StreamOptions(path, "synthetic:@9", "null:", deadline_s=0.03), found, board)
    assert isinstance(job.plan, LadderPlan)
    assert job.plan.ladder.names == (path.name, "original"), "one engine and the original are a ladder"
