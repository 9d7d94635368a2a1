"""Where a figure was measured: processor, memory, system and the versions of what took part."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("openvino", "onnxruntime", "tensorrt", "tensorrt-rtx-cu13-bindings", "pycuda", "cuda-bindings", "numpy",
            "opencv-python", "opencv-python-headless", "av")  # fmt: skip


def describe_machine() -> dict[str, str | int | float]:
    """Processor, logical cores that this process may use, memory, system; nothing that names the machine."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo")),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gib": _memory_gib(Path("/proc/meminfo")),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def cpu_model(cpuinfo: Path) -> str:
    """The processor's name, and its vector instructions that matter here; Jetsons have only the board's name."""
    try:
        lines = [line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    flags = set(fields.get("flags", "").split())
    known = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx512_bf16": "bf16", "amx_int8": "AMX"}
    notable = [name for flag, name in known.items() if flag in flags]
    name = fields.get("model name") or fields.get("Model") or fields.get("Hardware") or platform.machine()
    return name + (f" ({', '.join(notable)})" if notable else "")


def _memory_gib(meminfo: Path) -> float:
    try:
        kib = meminfo.read_text(encoding="utf-8").split("MemTotal:")[1].split()[0]
    except (OSError, IndexError):
        return 0.0
    return round(int(kib) / 2**20, 1)


def package_versions(names: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
