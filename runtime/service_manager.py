"""Tells systemd how this process is (sd_notify): ready, in words, alive, ending. Without systemd nothing is said.

    manager = ServiceManager()
    manager.ready()
    manager.say("24.9 frames a second")
    manager.alive()

Who calls `alive` has seen something move: a thread of its own that pings would do so while everything else hangs.
Protocol: datagrams of NAME=VALUE lines to the socket in NOTIFY_SOCKET; see sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

_MESSAGE_S = 2.0  # between two states in words; the newest one is in `systemctl status`


class ServiceManager:
    """Used by one thread."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # of Linux' abstract name space
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit_s = int(environment.get("WATCHDOG_USEC", "0")) * 1e-6 if ours else 0.0
        self.listens = bool(address)
        self._ping_s = limit_s / 4  # 0: nobody asks
        self._pinged = self._said = -float("inf")
        self._is_ready = False

    def ready(self) -> None:
        """Started: what depends on this service may start now. Said once."""
        if not self._is_ready:
            self._is_ready = True
            self._send("READY=1")

    def say(self, state: str) -> None:
        """The state in a few words, now and then."""
        if monotonic() - self._said >= _MESSAGE_S:
            self._said = monotonic()
            self._send("STATUS=" + state.replace("\n", " "))

    def alive(self) -> None:
        """Something moved. Asked for by WATCHDOG_USEC; said four times in that time at most."""
        if self._is_ready and self._ping_s and monotonic() - self._pinged >= self._ping_s:
            self._pinged = monotonic()
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """On the way to the end."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self.listens:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)  # a service manager that does not listen must not stop the frames
            channel.connect(self._address)
            channel.send(message.encode())
