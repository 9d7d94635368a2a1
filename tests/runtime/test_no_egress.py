"""A stream and a service talk to nobody: every connect and send of theirs is recorded by strace, in a network namespace
that has nothing but loopback."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

NEEDED = ("strace", "unshare", "ip")
ALONE = ["unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
AUDIT = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-e", "trace=connect,sendto,sendmsg,sendmmsg"]
ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")')

CLIENT = textwrap.dedent("""
    import json, subprocess, sys, urllib.request
    service = subprocess.Popen([sys.executable, "-m", "runtime.serve", "--port", "0", "--engine", sys.argv[1],
                                "--source", "replay:" + sys.argv[2]], stdout=subprocess.PIPE, text=True)
    url = json.loads(service.stdout.readline())["url"].rstrip("/")
    picture = open(sys.argv[3], "rb").read()
    assert urllib.request.urlopen(url + "/translate", picture).headers["content-type"] == "image/png"
    assert b"inloco" in urllib.request.urlopen(url + "/metrics").read()
    service.terminate()
    sys.exit(service.wait(20))
""")


@pytest.fixture(scope="module", autouse=True)
def _able() -> None:
    for tool in NEEDED:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("network namespaces are not allowed here")


def audited(root: Path, tmp_path: Path, *arguments: str | Path) -> list[str]:
    """Run Python with arguments, alone; the lines of the audit that name an address beyond loopback, or a look-up."""
    record = tmp_path / "audit"
    command = [*ALONE, *AUDIT, "-o", record, sys.executable, *arguments]
    done = subprocess.run(list(map(str, command)), cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [line for line in record.read_text().splitlines() if leaves(line)]


def leaves(line: str) -> bool:
    """Whether a recorded call is to port 53 or to an address that is not this machine's own."""
    if (found := ADDRESS.search(line)) is None:
        return False
    port, *addresses = found.groups()
    address = next(filter(None, addresses))
    return port == "53" or not (address.startswith("127.") or address == "::1")


@pytest.fixture
def example(root: Path) -> Path:
    return root / "examples" / "bottling"


@pytest.mark.parametrize("call", ["socket.socket().connect(('192.0.2.1', 80))", "socket.gethostbyname('example.org')"])
def test_the_audit_sees_who_calls_out(root: Path, tmp_path: Path, call: str) -> None:
    program = f"import contextlib, socket\nwith contextlib.suppress(OSError): {call}"
    assert audited(root, tmp_path, "-c", program)


def test_a_stream_calls_nobody(root: Path, tmp_path: Path, example: Path) -> None:
    engine, clip, out = example / "cyclegan_int8.onnx", example / "degraded.mp4", tmp_path / "out.mp4"
    stream = ["-m", "runtime.stream", "--engine", engine, "--source", clip, "--sink", out, "--frames", "10"]
    assert audited(root, tmp_path, *stream, "--report", tmp_path / "report") == []
    assert out.stat().st_size > 0


def test_a_service_calls_nobody(root: Path, tmp_path: Path, example: Path) -> None:
    pytest.importorskip("starlette")
    picture = root / "docs" / "images" / "before_after.png"
    given = (example / "cyclegan_int8.onnx", example / "degraded.mp4", picture)
    assert audited(root, tmp_path, "-c", CLIENT, *given) == []
