"""How the runtime tells, in passing, what it did to make something fit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeAlias

Say: TypeAlias = Callable[[str], None]  # takes a sentence without its full stop


def say_nothing(sentence: str) -> None:
    """For those who do not listen."""


def note(sentence: str) -> None:
    """One line on stderr."""
    tell(f"note: {sentence}")


def tell(line: str) -> None:
    """One whole line on stderr, clear of a status line."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(f"{clear}{line}\n", end="", file=sys.stderr, flush=True)
