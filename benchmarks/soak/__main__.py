"""Months in minutes: faults one after the other on a running stream, then the account.

    python -m benchmarks.soak --engine examples/bottling/cyclegan_int8.onnx --minutes 10

Asserted: no crash, frames after each fault, every frame accounted for, memory that does not grow, SIGTERM obeyed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.soak.faults import FAULTS, NotHere
from benchmarks.soak.rig import Rig
from runtime.errors import DONE, REFUSED, run_command

RECOVERY_S = 60.0  # for the first frame after a fault; usually two, on a machine that has nothing else to do
GROWTH_MIB = 24.0  # that may be left of what a heap takes at first
_SETTLING = 0.25  # of the run, in which caches and heaps fill
_END_S = 2.0


@dataclass
class Outcome:
    """What happened, and what should not have."""

    faults: dict[str, int] = field(default_factory=dict)
    recovery_s: list[float] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  # fault → what is missing here
    complaints: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def expect(self, holds: bool, complaint: str) -> None:
        """Note a complaint where it does not hold."""
        if not holds:
            self.complaints.append(complaint)

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        slowest = {"recovery_s": {"median": median(self.recovery_s or [0]), "longest": max(self.recovery_s, default=0)}}
        told = {"faults": self.faults, "left_out": self.left_out, **slowest, **self.facts}
        return told | {"complaints": self.complaints}


def soak(engine: Path, seconds: float, seed: int, progress: bool = False) -> Outcome:
    """Harm a stream of `engine` for so long, each kind of fault at least once; judge what it did.

    Raises TimeoutError when it died or did not come back.
    """
    dice, outcome = random.Random(seed), Outcome()
    with tempfile.TemporaryDirectory(prefix="inloco-soak-") as folder:
        rig = Rig(engine, Path(folder))
        try:
            _harm(rig, dice, outcome, seconds, progress)
            rig.quiet()
            summary, took_s = rig.end()
            _judge(rig, outcome, summary, took_s)
        finally:
            rig.close()
    return outcome


def _harm(rig: Rig, dice: random.Random, outcome: Outcome, seconds: float, progress: bool) -> None:
    begun, turn = time.monotonic(), 0
    while time.monotonic() - begun < seconds or turn < len(FAULTS):
        if turn % len(FAULTS) == 0:
            order = dice.sample(FAULTS, len(FAULTS))
        fault = order[turn % len(FAULTS)]
        turn += 1
        name = fault.__name__
        try:
            fault(rig, dice)
        except NotHere as error:
            outcome.left_out[name] = str(error)
            continue
        frames = rig.heard.frames
        took = rig.wait(lambda before=frames: rig.heard.frames > before, f"frame after {name}", RECOVERY_S)
        outcome.faults[name] = outcome.faults.get(name, 0) + 1
        outcome.recovery_s.append(round(took, 2))
        if progress:
            elapsed = time.monotonic() - begun
            line = f"{elapsed:5.0f} s of {seconds:.0f}  {turn} faults  {rig.heard.frames} frames"
            print(f"\r{line}  {rig.heard.rss[-1][1]:.0f} MiB  {name:<16}", end="", file=sys.stderr, flush=True)


def _judge(rig: Rig, outcome: Outcome, summary: dict[str, Any], took_s: float) -> None:
    counted = {name: summary[name] for name in ("captured", "frames", "dropped", "refused", "unfinished")}
    camera = {name: summary[name] for name in ("losses", "reconnects", "restarts", "no_signal", "missed")}
    seen = json.loads((rig.folder / "seen.json").read_text())
    rss = [mib for _, mib in rig.heard.rss if mib]
    settled = rss[int(len(rss) * _SETTLING) :]
    first = median(settled[: len(settled) // 4])
    growth = median(settled[-len(settled) // 4 :]) - first
    minutes = (rig.heard.rss[-1][0] - rig.heard.rss[0][0]) / 60
    outcome.facts = {
        **counted, **camera, **seen, "end_s": round(took_s, 2), "minutes": round(minutes, 2),
        "rss_mib": {"settled": round(first, 1), "most": round(max(rss), 1), "growth": round(growth, 1)},
        "longest_silence_s": round(rig.heard.longest_silence_s, 2),
    }  # fmt: skip
    accounted = counted["frames"] + counted["dropped"] + counted["refused"]
    outcome.expect(counted["captured"] == accounted, f"{counted['captured']} captured, {accounted} accounted for")
    outcome.expect(counted["unfinished"] == 0, f"{counted['unfinished']} frames were left unfinished")
    outcome.expect(rig.stream.returncode == DONE, f"exit code {rig.stream.returncode}")
    outcome.expect("Traceback" not in rig.said(), "a traceback on standard error")
    outcome.expect(growth < GROWTH_MIB, f"memory grew by {growth:.1f} MiB")
    outcome.expect(took_s < _END_S, f"SIGTERM took {took_s:.1f} s")
    kinds = outcome.faults
    outcome.expect(camera["losses"] >= kinds["killed_camera"], "a lost camera was not counted")
    outcome.expect(counted["refused"] > 0, "broken frames were not counted as refused")
    outcome.expect("clock_jump" not in kinds or seen["clock_jumps"] > 0, "the clock did not jump")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="Harm a running stream for minutes; account for every frame. Exit code 1: something did not hold.",
        epilog="example:\n  python -m benchmarks.soak --engine cyclegan_int8.onnx --minutes 10 --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--engine", type=Path, required=True, help="engine with its manifest beside it")
    parser.add_argument("--minutes", type=float, default=10.0, help="%(default)g; each kind comes at least once")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the length of the faults")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main() -> int:
    """The command."""
    arguments = _parser().parse_args()
    outcome = soak(arguments.engine, 60 * arguments.minutes, arguments.seed, progress=sys.stderr.isatty())
    told = outcome.describe()
    print(json.dumps(told) if arguments.json else "\n".join(f"{name}: {fact}" for name, fact in told.items()))
    return REFUSED if outcome.complaints else DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
