"""Collect everything that a machine without a network needs into one folder, and a tar of it.

    make bundle TARGET=x86-cpu
    make bundle TARGET=orin-jp6 ENGINES="mine_fp16.onnx other.onnx" PYTHON_VERSION=3.10

In it: the sources, the wheels with their hashes, engines with their manifests, the pages, `install.sh`, SHA256SUMS,
and `MISSING.txt` with what must already be on the device. Wheels come from wherever pip is configured to look; no
address of that is written down.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("runtime", "export", "calibration", "docs", "deploy", "LICENSE", "README.md", "constraints.txt")
EXAMPLE = "examples/bottling"
SHOWN = "degraded.mp4"  # what the installation is tried with
_PIN = re.compile(r"(\S+==[^;\s]+)(?:; python_version (<|>=) '3\.(\d+)')?")
_CORE = ("numpy", "opencv-python-headless", "av")
_BEFORE_311 = ("exceptiongroup", "tomli")  # pip judges the conditions of requirements by the Python that runs it
_SERVICES = (
    "starlette", "uvicorn", "websockets", "prometheus-client", "cryptography", "pillow",
    "pydicom", "pynetdicom", "python-gdcm", "dicom-anonymizer",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One kind of machine."""

    machine: str  # as `uname -m` says it
    glibc: int  # 2.N: the newest that wheels may ask for
    backend: tuple[str, ...]  # requirements beside the core's and the services'
    engines: tuple[str, ...]  # of the example, where no others are named
    python: str = ""  # of the device; "" = this one's
    unpinned: tuple[str, ...] = ()  # requirements to which constraints.txt does not apply
    missing: str = "Nothing: Python 3 with its venv module is all that is asked of the machine.\n"


TARGETS = {
    "x86-cpu": Target("x86_64", 35, ("openvino",), ("cyclegan_int8.onnx",)),
    "x86-rtx": Target(
        "x86_64", 35,
        ("openvino", "tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13-libs", "cuda-bindings"),
        ("cyclegan_fp16.plan", "cyclegan_fp16.onnx", "cyclegan_int8.onnx"),
        missing="The NVIDIA driver, 580 or newer. Without it the INT8 engine runs on the processor.\n",
    ),
    "orin-jp6": Target(
        "aarch64", 35, ("openvino", "onnx", "tqdm"), ("cyclegan_fp16.onnx", "cyclegan_int8.onnx"), python="3.10",
        unpinned=("cuda-bindings>=12.8,<13", "cuda-pathfinder>=1.1"),
        missing=(
            "TensorRT 10.3 and its Python module: they are JetPack 6's own (apt: python3-libnvinfer), and the\n"
            "environment sees the system's packages. A plan is built on the device, without a network:\n"
            "    inloco engine cyclegan_fp16.onnx --backend tensorrt --out cyclegan_fp16.plan\n"
            "GPU memory goes through NVIDIA's cuda-bindings, here in the version for CUDA 12, which has not been\n"
            "tried on a Jetson; pycuda is the other way, and must be compiled on a device with JetPack's CUDA.\n"
        ),
    ),
}  # fmt: skip


class BundleError(Exception):
    """One sentence for the user."""


def bundle(name: str, out: Path, engines: list[Path], services: bool, python: str = "") -> Path:
    """Make `out`/inloco-`name`/ and its tar; return the folder. It appears whole or not at all.

    `services`: with what runtime.serve and runtime.dicom need. Raises BundleError.
    """
    target, folder = TARGETS[name], out / f"inloco-{name}"
    version = python or target.python or f"3.{sys.version_info.minor}"
    partial = out / f".inloco-{name}.new"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "wheels").mkdir(parents=True)
    try:
        pins = _write_pins(partial / "pins.txt", version)
        wanted = [*_CORE, *(_SERVICES if services else ()), *target.backend]
        if int(version.split(".")[1]) < 11:
            wanted += _BEFORE_311
        _fetch(wanted, partial / "wheels", target, version, pins)
        if target.unpinned:
            _fetch(list(target.unpinned), partial / "wheels", target, version, None)
        pins.unlink()
        _write_requirements(partial)
        _copy_sources(partial / "inloco")
        _copy_engines(engines or [ROOT / EXAMPLE / engine for engine in target.engines], partial / "engines")
        shutil.copy2(ROOT / EXAMPLE / SHOWN, partial)
        shutil.copy2(ROOT / "deploy" / "offline.sh", partial / "install.sh")
        (partial / "MISSING.txt").write_text(target.missing)
        (partial / "TARGET").write_text(f"{name} {target.machine} {version}\n")
        _write_sums(partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _write_pins(path: Path, version: str) -> Path:
    """The lines of constraints.txt for another Python: pip would judge them by this one."""
    minor, kept = int(version.split(".")[1]), []
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if (pin := _PIN.fullmatch(line)) is not None:
            holds = pin[2] is None or (minor < int(pin[3])) == (pin[2] == "<")
            kept += [pin[1]] if holds else []
    path.write_text("\n".join(kept) + "\n")
    return path


def _fetch(wanted: list[str], wheels: Path, target: Target, version: str, pins: Path | None) -> None:
    platforms = [f"manylinux_2_{minor}_{target.machine}" for minor in range(target.glibc, 16, -1)]
    platforms += [f"manylinux2014_{target.machine}", f"linux_{target.machine}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheels, "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", version]
    for platform in platforms:
        command += ["--platform", platform]
    command += ["-c", pins] if pins else ["--no-deps"]
    done = subprocess.run([*map(str, command), *wanted], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), done.stderr[-300:])
        raise BundleError(f"pip cannot fetch the wheels for {target.machine}, Python {version}: {reason}")


def _write_requirements(folder: Path) -> None:
    """Every wheel by name, version and hash: what is installed is what was collected."""
    lines = []
    for wheel in sorted((folder / "wheels").glob("*.whl")):
        name, version, *_ = wheel.name.split("-")
        lines.append(f"{name.replace('_', '-')}=={version} --hash=sha256:{_sha256(wheel)}")
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n")


def _copy_sources(folder: Path) -> None:
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.tmp", ".*")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy2(source, folder / name)


def _copy_engines(engines: list[Path], folder: Path) -> None:
    folder.mkdir()
    for engine in engines:
        manifest = engine.with_name(engine.name + ".json")
        if not engine.is_file() or not manifest.is_file():
            raise BundleError(f"there is no engine {engine} with its manifest {manifest.name} beside it")
        for path in (engine, manifest):
            shutil.copy2(path, folder)


def _write_sums(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{_sha256(path)}  {path.relative_to(folder)}" for path in files]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _pack(folder: Path) -> Path:
    archive = folder.with_suffix(".tar")
    partial = archive.with_suffix(".tar.new")
    with tarfile.open(partial, "w") as tar:
        tar.add(folder, folder.name)
    os.replace(partial, archive)
    return archive


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="deploy/bundle.py", description="Collect what a machine without a network needs.",
        epilog="example:\n  make bundle TARGET=orin-jp6", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder to make it in (default: %(default)s)")
    parser.add_argument("--engine", type=Path, action="append", default=[], help="instead of the example's; repeatable")
    parser.add_argument("--python", default="", metavar="3.N", help="of the device, where it is not this one's")
    parser.add_argument("--no-services", action="store_true", help="without what runtime.serve and runtime.dicom need")
    parser.add_argument("--no-tar", action="store_true", help="the folder only")
    arguments = parser.parse_args()
    try:
        folder = bundle(
            arguments.target, arguments.out, arguments.engine, not arguments.no_services, arguments.python
        )
    except (BundleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    wheels = len(list((folder / "wheels").iterdir()))
    what = folder if arguments.no_tar else _pack(folder)
    print(f"{what}: {wheels} wheels; inside, as root: ./install.sh")
    print((folder / "MISSING.txt").read_text(), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
