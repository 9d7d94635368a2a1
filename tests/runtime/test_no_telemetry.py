"""A running engine's process holds no code that reports anything to anybody."""

import subprocess
import sys

PROGRAM = """
import sys
import runtime.backends.openvino
found = [name for name in sys.modules if "telemetry" in name]
assert not found, found
import openvino
openvino.Core()
"""


def test_openvino_is_loaded_without_its_telemetry():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
