"""The camera, the stream and what is known of both while they run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_START_S = 180.0
_QUIET_S = 5.0  # two of the stream's reports
_FRAMES = re.compile(r"STATUS=(\d+) frames")


@dataclass
class Heard:
    """What the stream told its service manager, and the memory that it had meanwhile."""

    frames: int = 0  # in its newest status
    pinged: float = 0.0  # time.monotonic()
    longest_silence_s: float = 0.0
    ready: bool = False
    rss: list[tuple[float, float]] = field(default_factory=list)  # (seconds since ready, MiB)


class Rig:
    """A running stream in front of a camera that can be harmed. Close it."""

    def __init__(self, engine: Path, folder: Path) -> None:
        self.folder, self.heard = folder, Heard()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify"))
        self.can_jump = False
        self.set_delay(0)
        self.set_clock(0)
        self.port = 0
        self.start_camera()
        self._engine = engine
        self._errors = (folder / "stderr").open("w+")
        self.stream = self.start_stream("null:", self._errors)
        self._began = time.monotonic()
        self._ear = Thread(target=self._listen, daemon=True)
        self._ear.start()
        self.wait(lambda: self.heard.ready, "the first frame", _START_S)

    def start_stream(
        self, sink: str, errors: Any = subprocess.PIPE, shell: tuple[str, ...] = ()
    ) -> subprocess.Popen[str]:
        """Another stream from the same camera; only the first one is listened to."""
        program = "from benchmarks.soak.subject import start; raise SystemExit(start())"
        command = [
            *shell, sys.executable, "-c", program, self.folder, "--engine", self._engine, "--json",
            "--source", f"http://127.0.0.1:{self.port}/", "--sink", sink,
        ]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(_ROOT)}
        if errors is not subprocess.PIPE:
            environment |= {"NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "30000000"} | self._clock()
        return subprocess.Popen(
            list(map(str, command)), env=environment, text=True, stdout=subprocess.PIPE, stderr=errors
        )

    def _clock(self) -> dict[str, str]:
        """What preloads a wall clock that can jump, where there is a compiler for it."""
        library, source = self.folder / "clock.so", Path(__file__).with_name("clock.c")
        if (compiler := shutil.which("cc") or shutil.which("gcc")) is None:
            return {}
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
        self.can_jump = True
        return {"LD_PRELOAD": str(library), "SOAK_CLOCK": str(self.folder / "clock")}

    def start_camera(self) -> None:
        """A new camera at the address of the one before."""
        program = f"from benchmarks.soak.camera import serve; serve({self.port})"
        self.camera = subprocess.Popen(
            [sys.executable, "-c", program], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.camera.stdout is not None
        self.port = int(self.camera.stdout.readline())

    def kill_camera(self) -> None:
        """As when its plug is pulled."""
        self.camera.kill()
        self.camera.communicate()

    def order(self, line: str) -> None:
        """Have the camera send what it should not; see camera.py."""
        assert self.camera.stdin is not None
        self.camera.stdin.write(line + "\n")
        self.camera.stdin.flush()

    def set_delay(self, seconds: float) -> None:
        """How long the sink takes for a picture."""
        _replace(self.folder / "delay", str(seconds))

    def set_clock(self, seconds: float) -> None:
        """How far the wall clock of the stream is off."""
        _replace(self.folder / "clock", f"{seconds:+.0f}")

    def wait(self, condition: Any, what: str, limit_s: float) -> float:
        """Until it holds; how long that took. Raises TimeoutError, also when the stream has died."""
        begun = time.monotonic()
        while not condition():
            if self.stream.poll() is not None or time.monotonic() - begun > limit_s:
                fact = f"no {what} after {limit_s:g} s, exit code {self.stream.returncode}"
                raise TimeoutError(f"{fact}: {self.said()}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def quiet(self) -> None:
        """Pull the camera's plug, and wait until what was on its way has come through."""
        self.kill_camera()
        since, frames = time.monotonic(), -1
        while time.monotonic() - since < _QUIET_S:
            if frames != self.heard.frames:
                since, frames = time.monotonic(), self.heard.frames
            time.sleep(0.1)

    def said(self) -> str:
        """The stream's standard error so far."""
        return (self.folder / "stderr").read_text()

    def _listen(self) -> None:
        self._notify.settimeout(0.5)
        while self.stream.poll() is None:
            with contextlib.suppress(TimeoutError):
                self._hear(self._notify.recv(4096).decode())
            with contextlib.suppress(OSError, ValueError):
                pages = int(Path(f"/proc/{self.stream.pid}/statm").read_text().split()[1])
                self.heard.rss.append((time.monotonic() - self._began, pages * os.sysconf("SC_PAGESIZE") / 2**20))

    def _hear(self, message: str) -> None:
        heard, now = self.heard, time.monotonic()
        if found := _FRAMES.match(message):
            heard.frames = int(found[1])
        if message == "READY=1":
            heard.ready, heard.pinged = True, now
        if message == "WATCHDOG=1":
            heard.longest_silence_s = max(heard.longest_silence_s, now - heard.pinged)
            heard.pinged = now

    def end(self) -> tuple[dict[str, Any], float]:
        """SIGTERM: the stream's summary, and the seconds until it was gone."""
        begun = time.monotonic()
        self.stream.send_signal(signal.SIGTERM)
        output, _ = self.stream.communicate(timeout=_START_S)
        return json.loads(output), time.monotonic() - begun

    def close(self) -> None:
        """Kill what still runs."""
        for process in (self.camera, self.stream):
            process.kill()
            process.communicate()
        self._ear.join()  # it ends with the stream
        self._notify.close()
        self._errors.close()


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(".new")
    partial.write_text(text)
    partial.replace(path)
