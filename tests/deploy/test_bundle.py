"""The bundle for a machine without a network: what is in it, and that it installs and runs where there is no route."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest

from deploy.bundle import _BEFORE_311, _CORE, _PIN, _SERVICES, TARGETS, BundleError, _write_pins, bundle

ALONE = ["unshare", "--net", "--map-root-user"]


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True)


def check_hashes(cpu_bundle: Path) -> None:
    """Every wheel is named with its hash, and no address is."""
    lines = (cpu_bundle / "requirements.txt").read_text().splitlines()
    wheels = sorted((cpu_bundle / "wheels").iterdir())
    assert len(lines) == len(wheels) >= len(_CORE) + 1
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    done = run("sha256sum", "--quiet", "--check", "SHA256SUMS", cwd=cpu_bundle)
    assert done.returncode == 0, done.stdout


def test_it_installs_and_translates_where_there_is_no_route(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or run(*ALONE, "true", cwd=tmp_path).returncode:
        pytest.skip("network namespaces are not allowed here")
    try:
        cpu_bundle = bundle("x86-cpu", tmp_path / "dist", [], services=False)
    except BundleError as error:
        pytest.skip(f"no wheels to bundle here: {error}")
    check_hashes(cpu_bundle)
    prefix, video = tmp_path / "usr", tmp_path / "out.mp4"
    python = f"PYTHON={sys.executable}"
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
    assert "unreachable" in run(*ALONE, sys.executable, "-c", reach, cwd=tmp_path).stderr, "the gap holds"
    done = run(*ALONE, "env", python, cpu_bundle / "install.sh", prefix, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    engine = prefix / "var/lib/inloco/engines/cyclegan_int8.onnx"
    options = ["--engine", engine, "--source", cpu_bundle / "degraded.mp4", "--sink", video, "--frames", "10", "--json"]
    done = run(*ALONE, prefix / "bin" / "inloco", "stream", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backend"].startswith("openvino")
    with av.open(str(video)) as container:
        assert len(list(container.decode(video=0))) == 10


def test_a_changed_file_or_another_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.bundle._fetch", lambda *arguments: None)
    damaged = bundle("x86-cpu", tmp_path / "dist", [], services=False)
    for name, text, words in [
        ("MISSING.txt", "nothing\n", "damaged; carry it in again"),
        ("TARGET", "x86-cpu x86_64 3.6\n", "these wheels are for Python 3.6"),
        ("TARGET", "orin-jp6 riscv 3.10\n", "this bundle is for riscv"),
    ]:
        (damaged / name).unlink()
        (damaged / name).write_text(text)
        done = run("env", f"PYTHON={sys.executable}", damaged / "install.sh", tmp_path / "usr", cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr
    assert not (tmp_path / "usr").exists()


def test_an_absent_engine_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.bundle._fetch", lambda *arguments: None)
    with pytest.raises(BundleError, match=r"no engine absent\.onnx"):
        bundle("x86-cpu", tmp_path, [Path("absent.onnx")], services=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("version", "numpy"), [("3.10", "2.2"), ("3.11", "2.4")])
def test_pins_are_those_of_the_devices_python(root: Path, tmp_path: Path, version: str, numpy: str) -> None:
    pins = _write_pins(tmp_path / "pins", version).read_text().splitlines()
    names = [pin.partition("==")[0] for pin in pins]
    assert len(set(names)) == len(names)
    assert [pin for pin in pins if pin.startswith(f"numpy=={numpy}.")]
    lines = (root / "constraints.txt").read_text().splitlines()
    left_out = {line.partition("==")[0] for line in lines if _PIN.fullmatch(line)} - set(names)
    assert left_out == (set(_BEFORE_311) if version == "3.11" else set())


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_target_asks_for_is_what_the_project_was_tested_with(root: Path, name: str) -> None:
    target, pins = TARGETS[name], (root / "constraints.txt").read_text()
    for wanted in (*_CORE, *_SERVICES, *target.backend, *target.unpinned):
        assert f"\n{re.split('[>=<]', wanted)[0]}==" in pins
    for engine in target.engines:
        assert (root / "examples" / "bottling" / f"{engine}.json").is_file()
