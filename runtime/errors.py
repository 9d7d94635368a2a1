"""What can go wrong, as a tree; every message names the thing, the fact and the way out.

    InlocoError            the command stops with one sentence and exit code 2
    ├── ManifestError      a manifest is missing, broken, newer than this runtime, or its hashes disagree
    ├── EngineError        an engine cannot be loaded or run here (backend absent, wrong device or version)
    ├── FrameError         a frame does not have the shape or the type that the engine takes
    ├── ControlError       a control is unknown, or its value is out of range or of the wrong shape
    ├── SourceError        a camera, file or folder cannot be read
    ├── SinkError          a display, file or folder cannot be written
    ├── ConfigError        a file of streams cannot be read, or says what cannot be
    ├── DicomError         a DICOM instance cannot be translated, or the node cannot run; never holds a patient's data
    ├── GraphError         a checkpoint or a foreign network cannot become a frame graph
    └── GateError          the result was refused by a quality gate; exit code 1
"""

from __future__ import annotations

import sys
from collections.abc import Callable

DONE, REFUSED, BAD_INPUT = 0, 1, 2


class InlocoError(Exception):
    """Base of all errors meant for the user's eyes."""

    exit_code = BAD_INPUT


class ManifestError(InlocoError):
    """A manifest is missing, broken, too new, or does not match its engine."""


class EngineError(InlocoError):
    """An engine cannot be loaded or run on this machine."""


class FrameError(InlocoError):
    """A frame has another shape or type than the engine takes."""


class ControlError(InlocoError):
    """A control is unknown or its value is not allowed."""


class SourceError(InlocoError):
    """A source of frames cannot be opened or read."""


class SinkError(InlocoError):
    """A sink of frames cannot be opened or written."""


class ConfigError(InlocoError):
    """A file of streams cannot be read, or says what cannot be."""


class DicomError(InlocoError):
    """A DICOM instance cannot be translated, or the node cannot run. The message never holds a patient's data."""


class GraphError(InlocoError):
    """A checkpoint or a foreign network cannot become a frame graph."""


class GateError(InlocoError):
    """A quality gate refused the result; nothing was written."""

    exit_code = REFUSED


def run_command(main: Callable[[], int]) -> int:
    """Run a command's main function; turn errors for the user into one sentence on stderr and an exit code."""
    try:
        return main()
    except InlocoError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
