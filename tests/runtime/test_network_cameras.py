"""Cameras on the network, real ones on loopback: RTSP by GStreamer, MJPEG by Python's own HTTP server."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.no_signal import draw_no_signal

Write = Callable[..., Path]
Start = Callable[..., subprocess.Popen[str]]
SYSTEM_PYTHON = "/usr/bin/python3"
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
def rtsp_camera(root: Path, port: int) -> Iterator[None]:
    command = [SYSTEM_PYTHON, str(root / "tests" / "runtime" / "rtsp_server.py"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            server.kill()


@pytest.fixture
def mjpeg_url() -> Iterator[str]:
    """A camera that shows a gray frame, brighter each time, twenty times a second."""

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for level in range(0, 250, 2):
                _, data = cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {data.size}\r\n\r\n".encode()
                try:
                    self.wfile.write(head + data.tobytes() + b"\r\n")
                except OSError:
                    return
                time.sleep(0.05)

        def log_message(self, *arguments: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


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


def test_mjpeg_over_http(start_stream: Start, mjpeg_url: str, write_engine: Write, tmp_path: Path) -> None:
    pictures = tmp_path / "out"
    done = start_stream("--engine", write_engine(), "--source", mjpeg_url, "--sink", pictures, "--frames", "10")
    summary = finish(done)
    assert summary["frames"] == 10
    assert summary["mode"] == "realtime"
    levels = [cv2.imread(str(path)).mean() for path in sorted(pictures.iterdir())]
    assert levels == sorted(levels)
    assert levels[-1] > levels[0] + 5


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


def test_a_camera_that_dies_gives_no_signal_and_comes_back(
    root: Path, has_gstreamer: None, start_stream: Start, write_engine: Write, tmp_path: Path
) -> None:
    port, pictures = free_port(), tmp_path / "pictures"
    engine = write_engine(height=120, width=160)
    url = f"rtsp://127.0.0.1:{port}/line"

    def seen(pattern: str) -> list[Path]:
        return sorted(pictures.glob(pattern), key=lambda path: path.stat().st_mtime)

    with rtsp_camera(root, port):
        stream = start_stream("--engine", engine, "--source", url, "--sink", pictures)
        wait_until(lambda: len(seen("0*.png")) > 10)
    before = seen("0*.png")[-1]
    wait_until(lambda: len(seen("no_signal*.png")) > 2)
    with rtsp_camera(root, port):
        after = int(before.stem) + 10
        wait_until(lambda: (pictures / f"{after:06d}.png").exists())
        stream.send_signal(signal.SIGTERM)
        summary = finish(stream)
    silent = seen("no_signal*.png")
    assert len(silent) == summary["no_signal"]
    words = draw_no_signal((120, 160, 3), "uint8")
    assert all(np.array_equal(cv2.imread(str(path)), words) for path in silent)
    last = [path for path in seen("0*.png") if path.stat().st_mtime < silent[0].stat().st_mtime][-1]
    assert silent[0].stat().st_mtime - last.stat().st_mtime < 1.5, "no frozen last frame (1 s, and a busy machine)"
