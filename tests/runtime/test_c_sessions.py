"""The session behind a C handle, with an engine that, like CUDA's, belongs to its thread and holds two frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from threading import Barrier, Event, Thread, get_ident

import numpy as np
import pytest

from runtime.capi import session as session_module
from runtime.capi.session import BusyError, Choices, ClosedError, Session
from runtime.engine_worker import LateError
from runtime.errors import ControlError, EngineError
from runtime.frames import Array
from runtime.manifest import Control, Manifest, read_manifest


class ThreadBound:
    """Inverts frames in one thread only; `gate` holds the results back, `deepest` counts what was in flight."""

    backend = "fake"
    depth = 2

    def __init__(self, manifest: Manifest, gate: Event) -> None:
        self.manifest = manifest
        self.owner = get_ident()
        self.gate = gate
        self.deepest = 0
        self.submitted = 0
        self.strength: Array | None = None
        self.closed = False
        self._pending: deque[Array] = deque()

    def submit(self, inputs: Mapping[str, Array]) -> None:
        assert get_ident() == self.owner
        self.submitted += 1
        self.strength = inputs.get("strength")
        if inputs["frame"][0, 0, 0, 0] == 13:
            raise EngineError("this frame is unlucky")
        self._pending.append(255 - inputs["frame"])
        self.deepest = max(self.deepest, len(self._pending))
        assert len(self._pending) <= self.depth

    def collect(self) -> dict[str, Array]:
        assert get_ident() == self.owner
        assert self.gate.wait(20)
        return {"translated": self._pending.popleft()}

    def close(self) -> None:
        assert get_ident() == self.owner
        self.closed = True


class Opened:
    """A session over a ThreadBound engine."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, queue: int = 4) -> None:
        self.gate = Event()
        self.gate.set()
        made: list[ThreadBound] = []

        def open_fake(path: Path, backend: str | None) -> ThreadBound:
            made.append(ThreadBound(read_manifest(path), self.gate))
            return made[0]

        monkeypatch.setattr(session_module, "open_engine", open_fake)
        self.session = Session(path, Choices(queue=queue))
        self.engine = made[0]
        self.shape = self.engine.manifest.translated[0].shape


@pytest.fixture
def opened(write_engine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A TensorRT engine, as far as its manifest says."""
    controls = (Control("strength", "scalar", (1, 1), 0, 1),)
    return Opened(write_engine("x.plan", 8, 8, backend="tensorrt", controls=controls), monkeypatch)


def test_a_gpu_engine_lives_in_one_thread_whoever_calls(opened: Opened) -> None:
    assert opened.session.own_thread
    errors: list[BaseException] = []

    def call(value: int) -> None:
        try:
            frame, picture = np.full(opened.shape, value, np.uint8), np.empty(opened.shape, np.uint8)
            for deadline_ms in (0, 30_000):
                opened.session.translate(frame, [picture], deadline_ms)
                assert (picture == 255 - value).all()
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=call, args=(value,)) for value in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened.session.close()
    assert errors == []
    assert opened.engine.owner != get_ident()
    assert opened.engine.closed
    assert opened.session.latency.count == 12


def test_asynchronous_frames_overlap_and_come_back_in_order(opened: Opened) -> None:
    opened.gate.clear()
    pictures = [np.empty(opened.shape, np.uint8) for _ in range(4)]
    order: list[int] = []
    for i, picture in enumerate(pictures):
        frame = np.full(opened.shape, i, np.uint8)
        opened.session.translate_async(frame, [picture], partial(lambda i, error: order.append(i), i))
    with pytest.raises(BusyError, match="4 translations are unfinished"):
        opened.session.translate_async(pictures[0], [pictures[0]], lambda error: None)
    opened.gate.set()
    opened.session.close()
    assert order == [0, 1, 2, 3]
    assert opened.engine.deepest == 2
    assert [int(picture[0, 0, 0]) for picture in pictures] == [255, 254, 253, 252]
    assert opened.session.waiting == 0


def test_a_late_frame_is_not_delivered_and_the_next_one_is(opened: Opened) -> None:
    opened.gate.clear()
    frame, picture = np.full(opened.shape, 7, np.uint8), np.full(opened.shape, 1, np.uint8)
    with pytest.raises(LateError, match="deadline"):
        opened.session.translate(frame, [picture], 1)
    frame[:] = 99  # the caller's memory is its own again, though the engine has not finished
    opened.gate.set()
    opened.session.translate(frame, [picture], 30_000)
    opened.session.close()
    assert (picture == 255 - 99).all()
    assert (opened.session.late, opened.session.latency.count) == (1, 1)


def test_what_was_given_up_before_it_began_is_skipped(opened: Opened) -> None:
    opened.gate.clear()
    frame, picture = np.zeros(opened.shape, np.uint8), np.empty(opened.shape, np.uint8)
    for _ in range(4):
        with pytest.raises(LateError):
            opened.session.translate(frame, [picture], 1)
    opened.gate.set()
    opened.session.close()
    assert opened.engine.submitted <= 2


def test_an_error_reaches_its_own_caller_only(opened: Opened) -> None:
    picture = np.empty(opened.shape, np.uint8)
    with pytest.raises(EngineError, match="unlucky"):
        opened.session.translate(np.full(opened.shape, 13, np.uint8), [picture])
    outcomes: list[BaseException | None] = []
    for value in (13, 1):
        opened.session.translate_async(np.full(opened.shape, value, np.uint8), [picture], outcomes.append)
    opened.session.close()
    assert [type(outcome) for outcome in outcomes] == [EngineError, type(None)]
    assert opened.session.failed == 2


def test_a_wrong_output_is_an_error_of_the_call(opened: Opened) -> None:
    with pytest.raises(ValueError, match="broadcast"):
        opened.session.translate(np.zeros(opened.shape, np.uint8), [np.empty((5, 5, 3), np.uint8)])
    opened.session.close()


def test_closing_refuses_what_comes_after(opened: Opened) -> None:
    opened.session.close()
    frame = np.zeros(opened.shape, np.uint8)
    with pytest.raises(ClosedError):
        opened.session.translate(frame, [frame])
    with pytest.raises(ClosedError):
        opened.session.translate_async(frame, [frame], lambda error: None)
    with pytest.raises(ClosedError):
        opened.session.close()


def test_controls_are_checked_and_reach_the_engine(opened: Opened) -> None:
    with pytest.raises(ControlError, match="it takes strength"):
        opened.session.set_values("style", np.zeros(1, np.float32))
    with pytest.raises(ControlError, match="out of range"):
        opened.session.set_control("strength", "2")
    with pytest.raises(ControlError, match=r"takes 1 number\(s\), not 2"):
        opened.session.set_values("strength", np.zeros(2, np.float32))
    opened.session.set_control("strength", "0.25")
    opened.session.translate(np.zeros(opened.shape, np.uint8), [np.empty(opened.shape, np.uint8)])
    assert opened.engine.strength == 0.25
    opened.session.close()


def test_a_cpu_engine_is_closed_once_its_last_call_is_through(
    write_engine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(write_engine(height=8, width=8), Choices())
    frame, picture = np.ones((8, 8, 3), np.uint8), np.empty((8, 8, 3), np.uint8)
    start = Barrier(5)
    refused: list[BaseException] = []

    def call() -> None:
        start.wait()
        try:
            for i in count():
                session.translate(frame, [picture], 30_000 if i % 3 == 0 else 0)
        except ClosedError as error:
            refused.append(error)

    threads = [Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    session.close()
    for thread in threads:
        thread.join()
    assert len(refused) == 4
    assert session.failed == 4


def test_an_engine_that_does_not_open_says_so_from_its_thread(write_engine: Callable[..., Path]) -> None:
    with pytest.raises(EngineError, match="abacus"):
        Session(write_engine(), Choices(backend="abacus", own_thread=True))
