"""What holds for the repository as a whole: its files, its commands, its names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import pytest

from runtime.cli import VERBS

MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:work|farm|root|home|Users)/")
REGISTRY_HOST = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.org|debian\.org|pytorch\.org/whl|pypi\.nvidia\.com"
)
LARGEST_FILE = 4_000_000
LARGEST_EXAMPLES = 12_000_000


def tracked(root: Path) -> list[Path]:
    """Every file that git tracks and that is still there."""
    command = ["git", "ls-files", "-z"]
    names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    return [root / name for name in names if name and (root / name).is_file()]


def lines_with(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    """`file:line` of every match in the files that are text."""
    found = []
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path}:{number}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    return found


def test_no_tracked_file_names_a_path_of_a_developers_machine(root: Path) -> None:
    assert lines_with(MACHINE_PATH, tracked(root)) == []


def test_no_tracked_file_names_a_registry_host(root: Path) -> None:
    assert lines_with(REGISTRY_HOST, tracked(root)) == []


def test_the_patterns_find_what_they_look_for(tmp_path: Path) -> None:
    bad = tmp_path / "bad.txt"
    machine, host = "/wo" + "rk/main", "py" + "pi.org"  # in pieces: this file is searched too
    bad.write_text(f"cd {machine}\nhttps://{host}/simple\nmodels/work/x is relative\n", encoding="utf-8")
    assert lines_with(MACHINE_PATH, [bad]) == [f"{bad}:1"]
    assert lines_with(REGISTRY_HOST, [bad]) == [f"{bad}:2"]


def test_tracked_files_are_small(root: Path) -> None:
    sizes = {path: path.stat().st_size for path in tracked(root)}
    assert {str(path): size for path, size in sizes.items() if size > LARGEST_FILE} == {}
    assert sum(size for path, size in sizes.items() if "examples" in path.parts) < LARGEST_EXAMPLES


def test_pins_are_names_and_versions_only(root: Path) -> None:
    pin = re.compile(r"[a-z0-9.-]+==[0-9][0-9a-z.]*(; python_version (<|>=) '3\.\d+')?")
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not pin.fullmatch(line)] == []
    assert len(set(pins)) == len(pins) > 50


def test_this_environment_has_the_pinned_versions(root: Path) -> None:
    if not sys.prefix.endswith(".venv-dev"):
        pytest.skip("only the environment of `make test` promises it")
    for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, equals, version = line.partition("==")
        if not equals or ";" in line:
            continue
        try:
            installed = distribution(name).version.partition("+")[0]
        except PackageNotFoundError:
            continue  # pins for other machines, such as the second OpenCV wheel
        assert installed == version, name


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_helps_with_an_example(root: Path, verb: str) -> None:
    module, _ = VERBS[verb]
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    examples = [line for line in done.stdout.splitlines() if f"python -m {module} " in line and "usage:" not in line]
    assert examples, f"python -m {module} --help shows no example"


def test_every_module_with_a_main_is_a_verb(root: Path) -> None:
    packages = {module.partition(".")[0] for module, _ in VERBS.values()}
    commands = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__main__")
        for package in packages
        for path in (root / package).rglob("*.py")
        if '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")
    }
    # `inloco` itself, the child process that `benchmarks.latency` measures, and what `models.compress` opens.
    commands -= {"runtime.cli", "benchmarks.cold_start", "benchmarks.search"}
    assert commands == {module for module, _ in VERBS.values()}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 0, "example: inloco stream"),
        (["--help"], 0, "translate a camera"),
        (["steam"], 2, "did you mean 'stream'?"),
        (["xyz"], 2, "there are train,"),
        (["verify", "absent.plan"], 2, "absent.plan"),
    ],
)
def test_the_console_script_dispatches(root: Path, arguments: list[str], code: int, words: str) -> None:
    command = [sys.executable, "-m", "runtime.cli", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_no_class_name_stands_twice_in_models(root: Path) -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "models").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(root)))
    places.pop("Config", None)  # every system has its own, by contract
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


@pytest.mark.parametrize("package", ["models", "export", "runtime", "calibration", "benchmarks"])
def test_no_dumping_ground(root: Path, package: str) -> None:
    assert find_spec(package) is not None
    names = {path.stem for path in (root / package).rglob("*.py")}
    assert names.isdisjoint({"utils", "util", "helpers", "misc", "common", "base", "tools"})
