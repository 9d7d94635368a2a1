"""Who may import whom: the table of the design, read from the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

MAY_IMPORT = {
    "runtime": set(),
    "models": set(),
    "calibration": {"runtime"},
    "export": {"models", "calibration", "runtime"},
    "benchmarks": {"models", "calibration", "export", "runtime"},
}
NEVER = {
    "runtime": {"torch", "torchvision", "lightning_fabric", "onnx", "onnxscript", "onnxsim", "nncf"},
    "models": {"onnx", "onnxscript", "onnxsim", "onnxruntime", "openvino", "nncf", "tensorrt", "pycuda"},
}
# Each of these stands in one file of a package, so that a version's change has one place.
ONE_FILE = {
    "cryptography", "cuda", "dicomanonymizer", "lightning_fabric", "nncf", "onnxruntime", "onnxscript", "onnxsim",
    "openvino", "prometheus_client", "pycuda", "pynetdicom", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings",
    "uvicorn",
}  # fmt: skip


def imported(source: str) -> set[str]:
    """Top-level names of every module that a source imports, wherever in the file and by whichever way."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "import by the full name: relative imports hide the package"
            found.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found |= {word.value.split(".")[0] for word in node.args if _is_text(word)}
    return found


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def imports_of(package: Path) -> dict[str, set[str]]:
    """File (relative to the checkout) → what it imports."""
    return {
        str(path.relative_to(package.parent)): imported(path.read_text(encoding="utf-8"))
        for path in sorted(package.rglob("*.py"))
    }


def test_imports_are_found_in_every_form() -> None:
    source = (
        "import torch.nn as nn, numpy\nfrom onnx import helper\n"
        "def f():\n    import cv2\n    importlib.import_module('nncf.x')\n    __import__('av')\n"
    )
    assert imported(source) == {"torch", "numpy", "onnx", "cv2", "nncf", "av"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(root: Path, package: str) -> None:
    files = imports_of(root / package)
    assert files, f"{package}/ has no sources"
    ours = MAY_IMPORT.keys() - {package} - MAY_IMPORT[package]
    foreign = ours | {"tests", "examples"} | NEVER.get(package, set())
    broken = {name: sorted(found & foreign) for name, found in files.items() if found & foreign}
    assert not broken


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_vendor_library_is_imported_in_one_file_of_a_package(root: Path, package: str) -> None:
    files = imports_of(root / package)
    places = {vendor: [name for name, found in files.items() if vendor in found] for vendor in ONE_FILE}
    assert {vendor: names for vendor, names in places.items() if len(names) > 1} == {}


IMPORT_RUNTIME = """
import importlib, pkgutil, sys
banned = sys.argv[1].split(",")
sys.modules.update(dict.fromkeys(banned))  # None: importing it raises
import runtime
from runtime.errors import SourceError
for module in pkgutil.walk_packages(runtime.__path__, "runtime."):
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        # A vendor library that is not installed here may be missing; one that is banned may not even be asked for.
        assert error.name.split(".")[0] not in ["runtime", *banned], (module.name, error)
    except SourceError:
        pass  # a shared library of the system that is not installed here
print(len([name for name in sys.modules if name.startswith("runtime.")]))
"""


def test_runtime_works_where_torch_and_onnx_are_not_installed(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_RUNTIME, ",".join(sorted(NEVER["runtime"]))],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5
