"""The end of a process below whose threads a driver still hangs."""

from __future__ import annotations

import os
import sys
import threading


def end_process(code: int) -> int:
    """`code`, for SystemExit; where a camera, an engine or a sink is still inside a call, the process ends here.

    Vendor libraries abort a process that takes its memory apart below their threads. What was to be written is written.
    """
    if any(thread.name.startswith("inloco") and thread.is_alive() for thread in threading.enumerate()):
        sys.stdout.flush()
        print("ended while a camera, an engine or a sink was still busy", file=sys.stderr, flush=True)
        os._exit(code)
    return code
