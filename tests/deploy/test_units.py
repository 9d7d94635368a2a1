"""The systemd units as they are installed, judged by systemd itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = ("inloco-stream@.service", "inloco-streams@.service", "inloco-serve@.service", "inloco-dicom@.service")
MOST_EXPOSED = 2.5  # of 10; an ordinary service has 9.2


@pytest.fixture(scope="module")
def installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the units of an installation."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs Debian's systemd")
    prefix = tmp_path_factory.mktemp("installed")
    subprocess.run([root / "deploy" / "install.sh", "install", prefix], check=True)
    return prefix / "lib" / "systemd" / "system"


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SYSTEMD_LOG_LEVEL": "warning", "SYSTEMD_COLORS": "0"}
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_accepts_the_unit(installed: Path, unit: str) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", installed / unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("drop_in", ["gpu.conf", "private-network.conf"])
def test_systemd_accepts_the_drop_in(installed: Path, root: Path, tmp_path: Path, drop_in: str) -> None:
    unit = shutil.copy(installed / UNITS[0], tmp_path)
    folder = tmp_path / f"{UNITS[0]}.d"
    folder.mkdir()
    shutil.copy(root / "deploy" / "systemd" / "drop-ins" / drop_in, folder)
    done = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_wrong_line_would_be_seen(installed: Path, tmp_path: Path) -> None:
    unit = tmp_path / UNITS[0]
    unit.write_text((installed / UNITS[0]).read_text().replace("NoNewPrivileges=", "NoNewPriviledges="))
    assert "NoNewPriviledges" in analyze("verify", "--man=no", "--recursive-errors=no", unit).stderr


@pytest.mark.parametrize("unit", UNITS)
def test_little_is_exposed(installed: Path, unit: str) -> None:
    limit = f"--threshold={int(10 * MOST_EXPOSED)}"
    done = analyze("security", "--offline=true", limit, "--json=short", installed / unit)
    assert done.returncode == 0, done.stderr
    checks = {check["json_field"]: check["set"] for check in json.loads(done.stdout)}
    asked = ("NoNewPrivileges", "ProtectSystem", "ProtectHome", "ProtectKernelModules", "RestrictNamespaces_user")
    assert [name for name in asked if not checks[name]] == []


@pytest.mark.parametrize("unit", UNITS)
def test_the_watchdog_is_asked_for(installed: Path, unit: str) -> None:
    lines = (installed / unit).read_text().splitlines()
    assert {"Type=notify", "NotifyAccess=main", "WatchdogSec=30", "ProtectSystem=strict"} <= set(lines)
    assert not [line for line in lines if "@" in line and line.startswith("@")]
