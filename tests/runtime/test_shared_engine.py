"""One engine, several streams in threads of their own: who asked gets the answer, and a hang is everybody's."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from runtime import shared_engine
from runtime.engine import Engine, infer, open_engine
from runtime.errors import EngineError
from runtime.frames import Array
from runtime.manifest import ImagePort, Manifest
from runtime.shared_engine import SharedEngines
from runtime.watched_engine import FrameLost

SIZE = (1, 2, 2, 1)


class Negative:
    """255 − frame + bias in one buffer for all; used by one thread only; hangs on a frame of 13 until released."""

    backend = "negative"

    def __init__(self, release: threading.Event) -> None:
        self.manifest = Manifest("n", {"engine": ""}, frame=ImagePort("frame", 2, 2, 1))
        self.depth, self.closed, self.most = 2, False, 0
        self._release, self._owner = release, threading.get_ident()
        self._pending: deque[Mapping[str, Array]] = deque()
        self._buffer = np.zeros(SIZE, np.int64)

    def submit(self, inputs: Mapping[str, Array]) -> None:
        assert threading.get_ident() == self._owner
        self._pending.append(inputs)
        self.most = max(self.most, len(self._pending))
        assert self.most <= self.depth

    def collect(self) -> dict[str, Array]:
        assert threading.get_ident() == self._owner
        inputs = self._pending.popleft()
        if inputs["frame"].max() == 13:
            self._release.wait(30)
        if inputs["frame"].max() == 14:
            raise EngineError("the device is gone")
        self._buffer[:] = 255 - inputs["frame"].astype(np.int64) + inputs["bias"]
        return {"translated": self._buffer}

    def close(self) -> None:
        assert threading.get_ident() == self._owner
        self.closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Negative]]:
    """The engines that were opened."""
    release, engines = threading.Event(), list[Negative]()

    def opening(path: Path, backend: str | None) -> Negative:
        engines.append(Negative(release))
        return engines[-1]

    monkeypatch.setattr(shared_engine, "open_engine", opening)
    yield engines
    release.set()


def ask(engine: Engine, level: int, bias: int = 0) -> int:
    inputs = {"frame": np.full(SIZE, level, np.uint8), "bias": np.full(SIZE, bias)}
    return int(infer(engine, inputs)["translated"].max())


def test_streams_share_one_engine_and_get_their_own_answers(made: list[Negative]) -> None:
    engines, wrong = SharedEngines(), list[object]()
    everybody = threading.Barrier(3)

    def one_stream(bias: int) -> None:
        engine = engines.open(Path("a.onnx"), None, 0.0)
        everybody.wait(300)
        assert engine.depth == 1
        for level in (*range(13), *range(20, 100)):
            found = ask(engine, level, bias)
            if found != 255 - level + bias:
                wrong.append((level, bias, found))
        everybody.wait(300)
        engine.close()
        engine.close()

    threads = [threading.Thread(target=one_stream, args=(1000 * number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert wrong == []
    assert len(made) == 1
    assert engines.describe() == [{"engine": "a.onnx", "backend": "negative", "opened_by": 3, "restarts": 0}]
    assert not made[0].closed, "who comes back finds it open"
    engines.close()
    assert made[0].closed


def test_one_stream_alone_keeps_the_engine_full(made: list[Negative]) -> None:
    engines = SharedEngines()
    engine = engines.open(Path("a.onnx"), None, 0.0)
    assert engine.depth == 2
    for level in (20, 21):
        engine.submit({"frame": np.full(SIZE, level, np.uint8), "bias": np.zeros(1)})
    with pytest.raises(EngineError, match="2 frames are already in flight"):
        engine.submit({"frame": np.zeros(SIZE, np.uint8), "bias": np.zeros(1)})
    results = [engine.collect()["translated"] for _ in range(2)]
    assert [int(result.max()) for result in results] == [235, 234], "copies: the buffer is used again"
    second = engines.open(Path("a.onnx"), None, 0.0)
    assert engine.depth == 1
    second.close()
    assert engine.depth == 2
    engines.close()


def test_other_files_backends_and_patience_are_other_engines(made: list[Negative]) -> None:
    engines = SharedEngines()
    for path, backend, hang_s in (("a", None, 0.0), ("a", "null", 0.0), ("b", None, 0.0), ("a", None, 9.0)):
        engines.open(Path(path), backend, hang_s)
    assert len(made) == 4
    engines.close()
    assert all(engine.closed for engine in made)


def test_a_hang_costs_each_stream_its_frame_and_the_next_engine_serves_all(made: list[Negative]) -> None:
    engines = SharedEngines()
    first, second = (engines.open(Path("a"), None, 2.0) for _ in range(2))
    assert (ask(first, 1), ask(second, 2)) == (254, 253)
    for engine, level in ((first, 13), (second, 3)):
        engine.submit({"frame": np.full(SIZE, level, np.uint8), "bias": np.zeros(1)})
    for engine in (first, second):
        with pytest.raises(FrameLost):
            engine.collect()
    assert (ask(first, 4), ask(second, 5)) == (251, 250)
    assert engines.describe()[0]["restarts"] == 1
    assert len(made) == 2
    engines.close()


def test_an_error_goes_to_the_stream_whose_frame_it_was(made: list[Negative]) -> None:
    engines = SharedEngines()
    first, second = (engines.open(Path("a"), None, 0.0) for _ in range(2))
    with pytest.raises(EngineError, match="the device is gone"):
        ask(first, 14)
    assert ask(second, 5) == 250
    engines.close()


def test_an_engine_that_cannot_open_is_said_to_every_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, backend: str | None) -> Engine:
        raise EngineError("no such backend")

    monkeypatch.setattr(shared_engine, "open_engine", refuse)
    engines = SharedEngines()
    for _ in range(2):
        with pytest.raises(EngineError, match="no such backend"):
            engines.open(Path("a"), None, 0.0)
    engines.close()


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_real_engine_gives_each_stream_what_it_would_give_it_alone(root: Path, backend: str) -> None:
    pytest.importorskip(backend)
    path = root / "examples" / "bottling" / "cyclegan.onnx"
    alone = open_engine(path, backend)
    port = alone.manifest.frame
    assert port is not None
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (1, *port.shape), np.uint8) for _ in range(2)]
    wanted = [infer(alone, {"frame": frame})["translated"].copy() for frame in frames]
    engines = SharedEngines()
    shares = [engines.open(path, backend, 0.0) for _ in frames]
    for share, frame in zip(shares, frames, strict=True):
        share.submit({"frame": frame})
    for share, expected in reversed(list(zip(shares, wanted, strict=True))):
        assert np.array_equal(share.collect()["translated"], expected)
    engines.close()
