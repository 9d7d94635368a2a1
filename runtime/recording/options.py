"""What is recorded and how much of it is kept, as a command line says it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import SinkError

_SIZES = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40}
_TIMES = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")
_LEAST_BYTES = 1_000_000
AROUND_S = "10s"
SEGMENT_S = "60s"


@dataclass(frozen=True)
class Keep:
    """How much is kept; None: no limit."""

    size: int | None = None  # bytes, of all segments together
    age_s: float | None = None


@dataclass(frozen=True)
class RecordOptions:
    """One recording."""

    folder: Path
    keep: Keep = Keep()
    around_s: float | None = None  # before and after an event; None: everything is kept
    segment_s: float = 60.0


def add_record_options(parser: argparse.ArgumentParser) -> None:
    """The options of a command that can record."""
    group = parser.add_argument_group("recording")
    add = group.add_argument
    add("--record", type=Path, metavar="DIR", help="keep original and translated, side by side, in segments there")
    add("--record-events", nargs="?", const=AROUND_S, metavar="TIME",
        help=f"only so long before and after an event ({AROUND_S} where nothing is said)")  # fmt: skip
    add("--record-keep", action="append", default=[], metavar="LIMIT", help="a size or an age: 20GB, 14d, or both")
    add("--record-segment", metavar="TIME", help=f"length of a file ({SEGMENT_S})")


def record_options(arguments: argparse.Namespace) -> RecordOptions | None:
    """What the options say; None where nothing is recorded. Raises SinkError for what is no size or time."""
    if arguments.record is None:
        for name in ("record_events", "record_keep", "record_segment"):
            if getattr(arguments, name):
                raise SinkError(f"--{name.replace('_', '-')} says how to record: name the folder with --record DIR")
        return None
    around = arguments.record_events
    return RecordOptions(
        arguments.record,
        parse_keep(arguments.record_keep),
        None if around is None else parse_time(around, "--record-events"),
        parse_time(arguments.record_segment or SEGMENT_S, "--record-segment"),
    )


def parse_keep(texts: Sequence[str]) -> Keep:
    """["20GB", "14d"] → Keep. Raises SinkError."""
    found: dict[str, float] = {}
    for text in texts:
        size, age = _quantity(text, _SIZES), _quantity(text, _TIMES)
        if size is None and age is None:
            raise SinkError(f"--record-keep {text!r} is no size (500MB, 20GB, 1TB) and no age (12h, 14d)")
        kind = "age" if size is None else "size"
        if kind in found:
            raise SinkError(f"--record-keep {text!r}: there is another {kind} beside it; give one of each")
        found[kind] = age or size or 0.0
    if "size" in found and found["size"] < _LEAST_BYTES:
        raise SinkError(f"--record-keep {found['size']:g} bytes hold no segment; give 1MB or more")
    if found.get("age") == 0:
        raise SinkError("--record-keep: an age of 0 keeps nothing; leave --record out")
    return Keep(int(found["size"]) if "size" in found else None, found.get("age"))


def parse_time(text: str, option: str) -> float:
    """"90s" → 90.0. Raises SinkError."""
    seconds = _quantity(text, _TIMES)
    if not seconds:
        raise SinkError(f"{option} {text!r} is no time above 0 (10s, 2min, 1h)")
    return seconds


def _quantity(text: str, units: Mapping[str, float]) -> float | None:
    match = _QUANTITY.fullmatch(text.strip())
    unit = units.get(match[2].lower()) if match else None
    return None if match is None or unit is None else float(match[1]) * unit
