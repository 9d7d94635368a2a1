"""SIGINT and SIGTERM end a command well: the first lets it finish what is on its way, the second interrupts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first of them, raise KeyboardInterrupt at the next; for the main thread."""

    def heard(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        stop()

    former = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
