"""systemd's side of sd_notify, for the tests: a real datagram socket, and a process told where it is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

WATCHDOG_S = 1.0


class Supervisor:
    """Starts one process of Python and hears what it says of itself."""

    def __init__(self, root: Path, folder: Path, *arguments: str | Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self.heard: list[tuple[float, str]] = []
        told = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
        command = [sys.executable, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, cwd=root, env=os.environ | told, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def wait_for(self, word: str, count: int = 1, timeout_s: float = 240.0) -> float:
        """Listen until `word` was said `count` times from now on; when that was."""
        until = time.monotonic() + timeout_s
        while count:
            self._socket.settimeout(max(0.01, until - time.monotonic()))
            said = self._socket.recv(4096).decode()
            self.heard.append((time.monotonic(), said))
            count -= word in said
        return self.heard[-1][0]

    def is_silent(self, word: str, for_s: float, within_s: float = 240.0) -> bool:
        """Whether `word` is at last not said for so long."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            try:
                self.wait_for(word, timeout_s=for_s)
            except TimeoutError:
                return True
        return False

    def end(self) -> tuple[float, str, str]:
        """SIGTERM; (seconds until the process was gone, its output, its errors)."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate(timeout=240)
        return time.monotonic() - begun, output, errors

    def close(self) -> None:
        """Kill what still runs."""
        self.process.kill()
        self.process.communicate()
        self._socket.close()
