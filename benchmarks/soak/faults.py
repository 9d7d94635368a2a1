"""What goes wrong in a plant, each in a few seconds. A fault is over when its function returns."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

from benchmarks.soak.rig import Rig

_FULL_S = 180.0
_SPARE_BYTES = 24 << 20  # of address space beyond what the stream has, under memory pressure
_SMALL_DISK = 'mount -t tmpfs -o size=200k none "$0" && exec "$@"'
_LIST = '"$@"; code=$?; ls -A "$0"; exit $code'


class NotHere(Exception):
    """This machine cannot stage the fault; the message says what is missing."""


def killed_camera(rig: Rig, dice: random.Random) -> None:
    """The plug is pulled, and put back."""
    rig.kill_camera()
    time.sleep(dice.uniform(0.1, 2.0))
    rig.start_camera()


def hung_camera(rig: Rig, dice: random.Random) -> None:
    """It keeps the connection and sends nothing."""
    rig.camera.send_signal(signal.SIGSTOP)
    time.sleep(dice.uniform(0.5, 3.0))
    rig.camera.send_signal(signal.SIGCONT)


def garbage_frames(rig: Rig, dice: random.Random) -> None:
    """Frames that nobody can decode."""
    rig.order(f"garbage {dice.randint(3, 15)}")
    time.sleep(1.5)


def slow_sink(rig: Rig, dice: random.Random) -> None:
    """A disk or a screen that takes its time."""
    rig.set_delay(dice.uniform(0.2, 0.4))
    time.sleep(3)
    rig.set_delay(0)


def clock_jump(rig: Rig, dice: random.Random) -> None:
    """NTP finds the time after months, or somebody sets it."""
    if not rig.can_jump:
        raise NotHere("needs a C compiler, for a clock that jumps")
    for seconds in (dice.choice([3600, 86400, 400 * 86400]), -dice.choice([60, 86400]), 0):
        rig.set_clock(seconds)
        time.sleep(0.7)


def memory_pressure(rig: Rig, dice: random.Random) -> None:
    """Address space runs out while the camera sends pictures of 48 megapixels."""
    with open(f"/proc/{rig.stream.pid}/statm") as file:
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")
    before = resource.prlimit(rig.stream.pid, resource.RLIMIT_AS)
    resource.prlimit(rig.stream.pid, resource.RLIMIT_AS, (used + _SPARE_BYTES, before[1]))
    rig.order(f"huge {dice.randint(1, 2)}")
    time.sleep(3)
    resource.prlimit(rig.stream.pid, resource.RLIMIT_AS, before)


def full_disk(rig: Rig, dice: random.Random) -> None:
    """A recording comes to the end of its disk: one sentence, exit code 2, nothing left behind."""
    folder = rig.folder / "small"
    folder.mkdir(exist_ok=True)
    shell = ("unshare", "--mount", "--map-root-user", "sh", "-c", _SMALL_DISK, str(folder))
    if shutil.which("unshare") is None or subprocess.run([*shell, "true"], capture_output=True).returncode:
        raise NotHere("needs user namespaces, for a small disk")
    recording = rig.start_stream(str(folder / "out.mp4"), shell=(*shell, "sh", "-c", _LIST, str(folder)))
    output, errors = recording.communicate(timeout=_FULL_S)
    sentence = f"cannot write {folder / 'out.mp4'}"
    if recording.returncode != 2 or sentence not in errors or "Traceback" in errors or output.strip():
        raise AssertionError(f"on a full disk: exit code {recording.returncode}, left {output!r}, said {errors}")


FAULTS: tuple[Callable[[Rig, random.Random], None], ...] = (
    killed_camera, garbage_frames, slow_sink, clock_jump, memory_pressure, hung_camera, full_disk,
)  # fmt: skip
