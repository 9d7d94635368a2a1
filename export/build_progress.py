"""A progress bar for TensorRT builds, which take minutes on a Jetson; Ctrl-C stops them between two steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm


@contextmanager
def build_progress(trt: Any, config: Any, title: str) -> Iterator[None]:
    """Show the phases of the build that runs inside; raise KeyboardInterrupt at its end if the user asked to stop."""
    monitor = _progress_monitor(trt, title)
    config.progress_monitor = monitor
    try:
        yield
    finally:
        monitor.bar.close()
    if monitor.stopped:
        raise KeyboardInterrupt


def _progress_monitor(trt: Any, title: str) -> Any:
    class ProgressMonitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Called by TensorRT, also from its own threads; no exception may leave it."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind11 demands the direct call
            self.bar = tqdm(desc=title, unit="step", total=0, delay=1.0)
            self.stopped = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.bar.total += num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                self.bar.update()
            except KeyboardInterrupt:
                self.stopped = True
            return not self.stopped

        def phase_finish(self, phase_name: str) -> None:
            """Nothing: the bar counts steps."""

    return ProgressMonitor()
