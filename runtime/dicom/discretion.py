"""Nothing that a library says reaches a log: messages and warnings about a value quote the value."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from pathlib import Path
from types import TracebackType

EVENTS = logging.getLogger("inloco.dicom")  # events, keyed names and sentences of our own


def place_of(error: BaseException | type[BaseException], trace: TracebackType | None) -> str:
    """What may be said of an error that nobody foresaw: its type, and the file and line that raised it."""
    name = error.__name__ if isinstance(error, type) else type(error).__name__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return name if trace is None else f"{name}, {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def keep_silent() -> None:
    """From now on this process writes to stderr only what EVENTS is told."""
    warnings.simplefilter("ignore")
    for name in ("pydicom", "pynetdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        logging.getLogger(name).propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    EVENTS.handlers, EVENTS.propagate = [handler], False
    EVENTS.setLevel(logging.INFO)
    sys.excepthook = _say_place
    threading.excepthook = lambda caught: _say_place(caught.exc_type, caught.exc_value, caught.exc_traceback)


def _say_place(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    EVENTS.error("stopped by an unforeseen error (%s)", place_of(kind, trace))
