"""What systemd hears of a stream, a service and a DICOM node over a real socket, and when it hears nothing more."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.service_manager import ServiceManager
from tests.runtime.supervisor import WATCHDOG_S, Supervisor

Write = Callable[..., Path]
Supervise = Callable[..., Supervisor]

HANGING = textwrap.dedent("""
    import sys, time
    import runtime.backends.null as null, runtime.sinks.null as sink, runtime.sources.synthetic as camera
    place = {"engine": (null.NullEngine, "collect"), "sink": (sink.NullSink, "write"),
             "camera": (camera.SyntheticSource, "read")}[sys.argv.pop(1)]
    method, calls = getattr(*place), []

    def hang(*arguments):
        calls.append(1)
        if len(calls) == 40:
            time.sleep(1000)
        return method(*arguments)

    setattr(*place, hang)
    from runtime.stream import main
    from runtime.ending import end_process
    from runtime.errors import run_command
    raise SystemExit(end_process(run_command(main)))
""")


@pytest.fixture
def supervise(root: Path, tmp_path: Path) -> Iterator[Supervise]:
    started: list[Supervisor] = []

    def start(*arguments: str | Path) -> Supervisor:
        started.append(Supervisor(root, tmp_path, *arguments))
        return started[-1]

    yield start
    for supervisor in started:
        supervisor.close()


def stream(engine: Path, *more: str | Path) -> list[str | Path]:
    return ["--engine", engine, "--source", "synthetic:@25", "--sink", "null:", "--json", *more]


def test_a_stream_is_ready_with_its_first_frame_and_pings_while_frames_move(
    supervise: Supervise, write_engine: Write
) -> None:
    service = supervise("-m", "runtime.stream", *stream(write_engine()))
    service.wait_for("WATCHDOG=1", 4)
    first = next(said for _, said in service.heard if "STATUS" not in said)
    assert first == "READY=1"
    service.wait_for("STATUS=")
    assert "fps" in service.heard[-1][1]
    service.end()
    service.wait_for("STOPPING=1")
    assert service.process.returncode == 0


@pytest.mark.parametrize("place", ["engine", "sink", "camera"])
def test_a_pipeline_that_hangs_pings_no_more(supervise: Supervise, write_engine: Write, place: str) -> None:
    service = supervise("-c", HANGING, place, *stream(write_engine(), "--watchdog", "0"))
    service.wait_for("READY=1")
    assert service.is_silent("WATCHDOG=1", for_s=2 * WATCHDOG_S)
    service.wait_for("STATUS=")  # the main thread lives on, and says so, and does not ping


def test_a_lost_camera_is_no_hang(supervise: Supervise, write_engine: Write, root: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    camera = subprocess.Popen(
        [sys.executable, root / "tests/runtime/mjpeg_server.py", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert camera.stdout is not None
        camera.stdout.readline()
        source = ["--source", f"http://127.0.0.1:{port}/", "--sink", "null:"]
        service = supervise("-m", "runtime.stream", "--engine", write_engine(height=120, width=160), "--json", *source)
        service.wait_for("WATCHDOG=1")
    finally:
        camera.kill()
        camera.communicate()
    time.sleep(WATCHDOG_S)  # frames on their way
    service.wait_for("WATCHDOG=1", 6)
    _, output, _ = service.end()
    summary = json.loads(output)
    assert summary["losses"] == 1
    assert summary["no_signal"] > 0


def test_a_service_pings_from_its_event_loop_and_with_its_stream(supervise: Supervise, root: Path) -> None:
    pytest.importorskip("starlette")
    example = root / "examples" / "bottling"
    source = ["--source", f"replay:{example / 'degraded.mp4'}", "--port", "0"]
    service = supervise("-m", "runtime.serve", "--engine", example / "cyclegan_int8.onnx", *source)
    service.wait_for("READY=1")
    service.wait_for("WATCHDOG=1", 4)


def test_words_without_a_listener_are_nothing(tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "nobody"), "@nobody"):
        manager = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
        manager.ready()
        manager.alive()


def test_pings_are_for_whom_they_are_asked_of_and_not_too_many(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0inloco-test-" + str(os.getpid()))
        ear.setblocking(False)
        told = {"NOTIFY_SOCKET": f"@inloco-test-{os.getpid()}", "WATCHDOG_USEC": "3600000000"}
        manager = ServiceManager(told)
        manager.alive()
        manager.ready()
        for _ in range(3):
            manager.alive()
            manager.ready()
        other = ServiceManager(told | {"WATCHDOG_PID": "1"})
        other.ready()
        other.alive()
        assert [ear.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"READY=1"]
        with pytest.raises(BlockingIOError):
            ear.recv(100)
