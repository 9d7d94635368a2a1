"""Memory and first frame of an engine in a process of its own.

    python -m benchmarks.cold_start cyclegan_int8.onnx        # {"rss_mib": 118.2, "first_frame_s": 0.61}

The process imports what a stream imports of the runtime to open an engine, and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import time

from benchmarks.subjects import Choice, Subject, parse_choice
from runtime.errors import DONE, EngineError, run_command

_FRAMES = 10  # after the first, so that memory has reached what it stays at
_ROOT = Path(__file__).resolve().parents[1]


def measure_cold_start(choice: Choice, repeats: int = 3) -> dict[str, float]:
    """Peak resident memory (MiB) and seconds from the start of the process to the first frame: the least of each.

    Raises:
        EngineError: the process failed, in its own words.
    """
    text = f"{choice.path.resolve()}@{choice.backend}" if choice.backend else str(choice.path.resolve())
    runs = []
    for _ in range(repeats):
        command = [sys.executable, "-m", "benchmarks.cold_start", text, repr(time())]
        done = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT, check=False)
        if done.returncode:
            raise EngineError(f"{choice.text} does not run in a process of its own: {done.stderr.strip()}")
        runs.append(json.loads(done.stdout))
    return {name: min(run[name] for run in runs) for name in runs[0]}


def peak_rss_mib() -> float:
    """Of this process since it began; 0 where the system does not say (the kernel's VmHWM)."""
    status = Path("/proc/self/status")  # getrusage would give the parent's peak until exec
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    kib = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
    return round(kib / 1024, 1)


def main() -> int:
    """Open, translate, print; the second argument is when the process was started, of time.time()."""
    started = float(sys.argv[2]) if len(sys.argv) > 2 else time()
    with Subject(parse_choice(sys.argv[1])) as subject:
        subject.infer()
        first = time() - started
        for _ in range(_FRAMES):
            subject.infer()
        print(json.dumps({"rss_mib": peak_rss_mib(), "first_frame_s": round(first, 3)}))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
