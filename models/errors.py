"""Errors of training that are meant for the user's eyes: one sentence, exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable


class ModelsError(Exception):
    """Base: the message names the thing, the fact and the way out."""


class ConfigError(ModelsError):
    """A recipe or a setting is wrong."""


class DataError(ModelsError):
    """Training images are missing, unreadable, or not what the system needs."""


class CheckpointError(ModelsError):
    """A checkpoint is missing, damaged, or of another system."""


def run_command(main: Callable[[], int]) -> int:
    """Run a command's main function; turn errors for the user into one sentence on stderr and exit code 2."""
    try:
        return main()
    except ModelsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
