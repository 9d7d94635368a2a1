"""Cameras on the network, real ones on loopback: RTSP by GStreamer, MJPEG by an HTTP server; both burn in the time."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.banner import draw_banner
from runtime.manifest import ImagePort
from runtime.no_signal import draw_no_signal
from runtime.sources.network import SenderClock, open_network
from tests.runtime.burned_clock import FPS, read_ticks, ticks_now

Write = Callable[..., Path]
Start = Callable[..., subprocess.Popen[str]]
SYSTEM_PYTHON = "/usr/bin/python3"
CLOCK = ImagePort("frame", 120, 160, 3)
_NEEDS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def has_gstreamer() -> None:
    if not shutil.which(SYSTEM_PYTHON) or subprocess.run([SYSTEM_PYTHON, "-c", _NEEDS], capture_output=True).returncode:
        pytest.skip("needs python3-gi, gir1.2-gst-rtsp-server-1.0 and GStreamer's x264 plug-in")


@contextmanager
def serving(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        try:
            yield server
        finally:
            server.kill()


def rtsp_camera(root: Path, port: int) -> AbstractContextManager[subprocess.Popen[str]]:
    return serving(SYSTEM_PYTHON, root / "tests" / "runtime" / "rtsp_server.py", str(port))


def http_camera(root: Path, port: int) -> AbstractContextManager[subprocess.Popen[str]]:
    return serving(sys.executable, root / "tests" / "runtime" / "mjpeg_server.py", str(port))


CAMERAS = {"rtsp": rtsp_camera, "http": http_camera}


@pytest.fixture(params=["rtsp", "http"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "rtsp":
        request.getfixturevalue("has_gstreamer")
    return str(request.param)


@pytest.fixture
def start_stream(root: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command; what still runs at the end of a failed test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "runtime.stream", "--json", *map(str, arguments)]
        started.append(subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            process.communicate()


def finish(process: subprocess.Popen[str]) -> dict[str, object]:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    summary: dict[str, object] = json.loads(output)
    return summary


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_rtsp(root: Path, has_gstreamer: None, start_stream: Start, write_engine: Write) -> None:
    port = free_port()
    with rtsp_camera(root, port):
        url = f"rtsp://127.0.0.1:{port}/line"
        engine = write_engine(height=120, width=160)
        summary = finish(start_stream("--engine", engine, "--source", url, "--sink", "null:", "--frames", "20"))
    assert summary["frames"] == 20
    latency = summary["latency_ms"]
    assert isinstance(latency, dict)
    assert 0 < latency["age"]["p50"] < 2000


def ticks_of(pictures: Path) -> list[int]:
    """What was burned into the frames that a folder got, in their order."""
    return [read_ticks(cv2.imread(str(path))) for path in sorted(pictures.glob("0*.png"))]


def test_a_camera_that_dies_gives_no_signal_and_comes_back(
    root: Path, kind: str, start_stream: Start, write_engine: Write, tmp_path: Path
) -> None:
    port, pictures = free_port(), tmp_path / "pictures"
    engine = write_engine(height=120, width=160)
    url = f"{kind}://127.0.0.1:{port}/clock"

    def seen(pattern: str) -> list[Path]:
        return sorted(pictures.glob(pattern), key=lambda path: path.stat().st_mtime)

    with CAMERAS[kind](root, port):
        stream = start_stream("--engine", engine, "--source", url, "--sink", pictures)
        wait_until(lambda: len(seen("0*.png")) > 10)
    before = seen("0*.png")[-1]
    wait_until(lambda: len(seen("no_signal*.png")) > 2)
    with CAMERAS[kind](root, port):
        returned = ticks_now()
        after = int(before.stem) + 10
        wait_until(lambda: int(seen("0*.png")[-1].stem) > after)
        stream.send_signal(signal.SIGTERM)
        summary = finish(stream)
    silent = seen("no_signal*.png")
    assert len(silent) == summary["no_signal"]
    words = draw_no_signal((120, 160, 3), "uint8")
    assert all(np.array_equal(cv2.imread(str(path)), words) for path in silent)
    last = [path for path in seen("0*.png") if path.stat().st_mtime < silent[0].stat().st_mtime][-1]
    assert silent[0].stat().st_mtime - last.stat().st_mtime < 1.5, "no frozen last frame (1 s, and a busy machine)"
    ticks = ticks_of(pictures)
    assert ticks == sorted(set(ticks)), "every picture is newer than the one before"
    first = next(tick for tick in ticks if tick > read_ticks(cv2.imread(str(last))))
    assert first >= returned - 2 * FPS, "nothing of before the loss"
    assert (summary["losses"], summary["reconnects"], summary["restarts"]) == (1, 1, 0)


def test_a_camera_that_falls_silent_but_stays_connected_has_no_signal_within_a_second(
    root: Path, kind: str, start_stream: Start, write_engine: Write, tmp_path: Path
) -> None:
    port, pictures = free_port(), tmp_path / "pictures"
    with CAMERAS[kind](root, port) as camera:
        url = f"{kind}://127.0.0.1:{port}/clock"
        stream = start_stream("--engine", write_engine(height=120, width=160), "--source", url, "--sink", pictures)
        wait_until(lambda: len(list(pictures.glob("0*.png"))) > 20)
        camera.send_signal(signal.SIGSTOP)
        stopped = time.time()
        wait_until(lambda: list(pictures.glob("no_signal*.png")))
        camera.send_signal(signal.SIGCONT)
        stream.send_signal(signal.SIGTERM)
        finish(stream)
    first = min(path.stat().st_mtime for path in pictures.glob("no_signal*.png"))
    assert first - stopped < 1.5, "0.6 s, and a busy machine"


def test_a_camera_of_one_frame_a_second_is_not_called_silent(
    root: Path, kind: str, start_stream: Start, write_engine: Write, tmp_path: Path
) -> None:
    port = free_port()
    with CAMERAS[kind](root, port):
        url, engine = f"{kind}://127.0.0.1:{port}/slow", write_engine(height=120, width=160)
        words = ("--sink", "null:", "--frames", "4", "--record", tmp_path / "kept")
        summary = finish(start_stream("--engine", engine, "--source", url, *words))
    assert summary["losses"] == 0
    (sidecar,) = (tmp_path / "kept").glob("*.jsonl")
    shown = [line for line in map(json.loads, sidecar.read_text().splitlines()) if "sequence" in line]
    first = next(k for k, line in enumerate(shown) if line["sequence"] >= 0)  # it may take long to answer at all
    assert [line.get("state", "") for line in shown[first:]] == [""] * 4


def test_frames_are_as_old_as_their_age_says(root: Path, kind: str) -> None:
    port = free_port()
    taken = []
    with CAMERAS[kind](root, port), closing(open_network(f"{kind}://127.0.0.1:{port}/clock", CLOCK)) as source:
        for _ in range(40):
            shot = source.read()
            now = time.monotonic()
            taken.append((shot, now - shot.captured, now - read_ticks(shot.frame) / FPS))
    ages, lags = np.array([(age, lag) for _, age, lag in taken[10:]]).T * FPS
    assert np.median(lags) < 4, "frames; no buffer that nobody asked for"
    assert np.median(np.abs(lags - ages)) < 2
    ticks = [read_ticks(shot.frame) for shot, _, _ in taken]
    assert ticks == sorted(set(ticks))


def test_who_reads_too_slowly_gets_newer_frames_and_knows_their_age(root: Path, has_gstreamer: None) -> None:
    port = free_port()
    rows = []
    with rtsp_camera(root, port), closing(open_network(f"rtsp://127.0.0.1:{port}/clock", CLOCK)) as source:
        for index in range(34):
            time.sleep(0.13 if index > 9 else 0)
            shot = source.read()
            now = time.monotonic()
            rows.append((now - shot.captured, now - read_ticks(shot.frame) / FPS, shot.number))
    ages, lags, numbers = np.array(rows[20:], float).T
    assert np.median(np.abs(ages - lags)) < 2 / FPS, "also of a frame that waited in a socket"
    assert np.diff(numbers).max() > 1, "some were left out"
    assert lags[-1] < 34 * 0.13 * 0.5, "or it would be half of the time behind by now"


def test_a_camera_that_repeats_its_frames_is_called_frozen(
    root: Path, has_gstreamer: None, start_stream: Start, write_engine: Write, tmp_path: Path
) -> None:
    port, pictures = free_port(), tmp_path / "pictures"
    engine = write_engine(height=120, width=160)
    with rtsp_camera(root, port):
        url = f"rtsp://127.0.0.1:{port}/stuck"
        summary = finish(
            start_stream(
                "--engine", engine, "--source", url, "--sink", pictures, "--frames", "80", "--frozen-after", "1"
            )
        )
    assert 10 < int(str(summary["frozen"])) < 70
    assert int(str(summary["repeated"])) > 30
    shown = sorted(pictures.glob("0*.png"))
    first, last = cv2.imread(str(shown[0])), cv2.imread(str(shown[-1]))
    assert np.array_equal(last[:14], draw_banner(last, "FROZEN")[:14])
    assert not np.array_equal(first[:14], draw_banner(first, "FROZEN")[:14])
    assert read_ticks(last) == read_ticks(cv2.imread(str(shown[-5])))


def test_a_sender_clock_knows_what_waited() -> None:
    clock = SenderClock()
    sent = np.arange(200) * 0.05
    delays = np.where((sent > 4) & (sent < 6), 0.8, 0.02)
    captured = [clock.captured(1000 + stamp, stamp + delay) for stamp, delay in zip(sent, delays, strict=True)]
    assert np.allclose(captured, sent + 0.02, atol=2e-3)
    slow = SenderClock()
    drifted = [slow.captured(stamp * 0.9999, stamp) for stamp in sent.tolist()]
    assert np.allclose(drifted, sent, atol=1e-3), "a clock that is slow by 100 millionths"
