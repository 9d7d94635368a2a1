"""The records that the fakes are made from agree with the real libraries."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.vendor_api import record
from tests.vendor_api.fake_gpu import facts


@pytest.mark.parametrize("name", record.WHEELS)
def test_the_record_of_a_tensorrt_agrees_with_its_real_bindings(name: str, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc for the stand-in libraries")
    try:
        real = record.wheel_facts(name, tmp_path)
    except subprocess.CalledProcessError as error:
        if "download" in error.cmd:
            pytest.skip(f"pip cannot get {record.WHEELS[name][0]}: {error.stderr.strip().splitlines()[-1]}")
        raise
    _agrees(facts(name), real)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("tensorrt-rtx", "tensorrt_rtx_bindings"),
        ("cuda-bindings", "cuda.bindings.runtime"),
        ("pycuda", "pycuda.driver"),
    ],
)
def test_the_record_of_an_installed_library_agrees_with_it(name: str, module: str) -> None:
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{name} is not installed")
    try:
        importlib.import_module(module)
    except ImportError as error:
        pytest.skip(f"{name} cannot be imported here: {error}")
    real, recorded = record.facts_of(name), facts(name)
    if real["version"] == recorded["version"]:
        _agrees(recorded, real)
    else:  # another version than the recorded one: it may have more, never less
        assert _is_part(recorded, real) == []


def _agrees(recorded: dict[str, Any], real: dict[str, Any]) -> None:
    for part in recorded:
        assert recorded[part] == real[part], f"{part} differs: run python tests/vendor_api/record.py again"


def _is_part(recorded: Any, real: Any, path: str = "") -> list[str]:
    """Names of `recorded` that `real` lacks."""
    if not isinstance(recorded, dict):
        return []
    lost = [f"{path}.{key}" for key in recorded if key not in real]
    for key in recorded.keys() & real.keys():
        lost += _is_part(recorded[key], real[key], f"{path}.{key}")
    return lost
