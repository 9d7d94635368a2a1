"""The C library in a Python process that has used much of Python before it."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.capi.build import build
from runtime.errors import EngineError

# Looking up an attribute of PyCapsule's type gives it a version tag, where cffi expects none; torch does the same.
PROGRAM = """
import ctypes
import datetime
import sys
hasattr(datetime.datetime_CAPI, "anything")
library = ctypes.CDLL(sys.argv[1])
handle = ctypes.c_void_p()
assert library.inloco_open(b"absent.onnx", None, ctypes.byref(handle)) != 0
"""


def test_the_library_starts_although_capsules_were_used(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INLOCO_ROOT", str(root))
    try:
        library = build(tmp_path)
    except EngineError as error:
        pytest.skip(str(error))
    subprocess.run([sys.executable, "-c", PROGRAM, str(library)], check=True, timeout=60)
