"""Make an engine of a frame graph: compile it for a GPU, or lay it ready for a CPU backend. Needs no torch.

    python -m export.engine cyclegan_fp16.onnx --backend tensorrt-rtx --targets sm75,sm86 --out cyclegan_fp16.plan
    python -m export.engine cyclegan_int8.onnx --backend openvino --out cyclegan_int8_openvino.onnx

On a Jetson run it there, with `--backend tensorrt`. The manifest of the graph (its gate, parity and controls)
is carried over into the manifest of the engine. Nothing is written unless all of it can be.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from export.agreement import compare_with_graph
from runtime.errors import DONE, EngineError, ManifestError, run_command
from runtime.manifest import (
    PORTABLE,
    Manifest,
    companion_hash,
    file_sha256,
    manifest_path,
    verify_engine,
    write_manifest,
)

PLAN_BACKENDS = ("tensorrt", "tensorrt-rtx")
GRAPH_BACKENDS = ("openvino", "onnxruntime")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; `arguments` default to the process's."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    graph, out = Path(options.graph), Path(options.out)
    _graph_manifest(graph)
    if out.resolve() == graph.resolve():
        raise EngineError(f"--out {out} is the graph itself: name another file")
    if not out.parent.is_dir():
        raise EngineError(f"there is no folder {out.parent} to write {out.name} into: make it first")
    command = f"python -m export.engine {shlex.join(given)}"
    try:
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            built = _make(graph, Path(folder) / out.name, options, command)
            for file in sorted(Path(folder).glob("*"), key=lambda file: file.name == out.name):  # the engine last
                if file.is_file():
                    file.replace(out.with_name(file.name))
    except ModuleNotFoundError as error:
        raise EngineError(f"this build needs {error.name!r}, which is not installed: pip install onnx tqdm") from error
    except OSError as error:
        raise EngineError(f"cannot write {out}: {error.strerror}; free space or name another --out") from error
    _tell(built, out, out.stat().st_size, options.json)
    return DONE


def _make(graph: Path, draft: Path, options: argparse.Namespace, command: str) -> Manifest:
    """Write the engine of `graph` and, before it, those of its companions, with their manifests; compare each.

    Raises:
        EngineError: it cannot be built.
        GateError: an engine does not give the pictures of its graph.
    """
    manifest = _graph_manifest(graph)
    companions = {role: f"{draft.stem}_{role}{draft.suffix}" for role in manifest.companions}
    pins = {}
    for role, name in companions.items():
        beside = _make(graph.with_name(manifest.companions[role]), draft.with_name(name), options, command)
        pins[companion_hash(role)] = beside.sha256["engine"]
    make = _compile if options.backend in PLAN_BACKENDS else _graph_engine
    content, backend_version, targets = make(graph, manifest.precision, options)
    draft.write_bytes(content)
    built = replace(
        manifest,
        file=draft.name,
        backend=options.backend,
        backend_version=backend_version,
        targets=targets,
        companions=companions,
        sha256=manifest.sha256 | {"graph": file_sha256(graph), "engine": file_sha256(draft)} | pins,
        decisions=manifest.decisions | ({} if options.dla is None else {"dla": str(options.dla)}),
        command=command,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    write_manifest(built, draft)
    built = replace(built, parity=built.parity | {"engine": compare_with_graph(draft, graph)})
    write_manifest(built, draft)
    return built


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.engine", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graph", help="frame graph (.onnx) with its manifest beside it")
    parser.add_argument("--backend", required=True, choices=PLAN_BACKENDS + GRAPH_BACKENDS)
    parser.add_argument("--out", required=True, help="the engine to write; its manifest is written beside it")
    parser.add_argument("--json", action="store_true", help="print what was made as one JSON object")
    plans = parser.add_argument_group("TensorRT")
    plans.add_argument("--targets", default="", help="compute capabilities, e.g. sm75,sm86 (RTX) or sm80+ (TensorRT)")
    plans.add_argument("--workspace-mib", type=int, help="most scratch memory a layer may take; lower on small boards")
    plans.add_argument("--timing-cache", type=Path, help="file that later builds reuse (TensorRT, not RTX)")
    plans.add_argument("--dla", type=int, metavar="CORE", help="run on this DLA core, where the machine has one")
    return parser


def _graph_manifest(graph: Path) -> Manifest:
    manifest = verify_engine(graph)
    if manifest.backend != PORTABLE:
        raise ManifestError(f"{graph} is already a {manifest.backend} engine: give the frame graph it was made from")
    return manifest


def _compile(graph: Path, precision: str, options: argparse.Namespace) -> tuple[bytes, str, tuple[str, ...]]:
    from export.tensorrt import PlanSpec, build_plan  # loads onnx, which the CPU backends can do without

    if options.workspace_mib is not None and options.workspace_mib < 1:
        raise EngineError(f"--workspace-mib {options.workspace_mib} must be at least 1")
    spec = PlanSpec(
        backend=options.backend,
        targets=_targets(options.targets),
        workspace_mib=options.workspace_mib,
        timing_cache=options.timing_cache,
        dla=options.dla,
    )
    plan = build_plan(graph, precision, spec)
    return plan.plan, plan.version, plan.targets


def _targets(text: str) -> tuple[str, ...]:
    targets = tuple(dict.fromkeys(item.strip().lower() for item in text.split(",") if item.strip()))
    for target in targets:
        if not re.fullmatch(r"sm\d{2,3}\+?", target):
            raise EngineError(f"--targets: {target!r} is no compute capability; write them like sm75,sm86")
    return targets


def _graph_engine(graph: Path, precision: str, options: argparse.Namespace) -> tuple[bytes, str, tuple[str, ...]]:
    """The bytes of a CPU engine: the graph, relabelled for ONNX Runtime when it is INT8."""
    for name in ("targets", "workspace_mib", "timing_cache", "dla"):
        if getattr(options, name) not in ("", None):
            raise EngineError(f"--{name.replace('_', '-')} belongs to TensorRT; --backend {options.backend} has none")
    content = graph.read_bytes()
    if options.backend == "onnxruntime" and precision == "int8":
        content = _relabelled(graph)
    return content, _installed_version(options.backend), ("cpu",)


def _relabelled(graph: Path) -> bytes:
    import onnx

    from calibration.relabel import relabel_u8

    relabelled: bytes = relabel_u8(onnx.load(graph)).SerializeToString()
    return relabelled


def _installed_version(backend: str) -> str:
    """Of the CPU library on this machine; empty where it is not installed, since the engine runs with any."""
    try:
        return version(backend)
    except PackageNotFoundError:
        return ""


def _tell(manifest: Manifest, out: Path, nbytes: int, as_json: bool) -> None:
    agreement: dict[str, Any] = manifest.parity["engine"]
    facts = {
        "engine": str(out),
        "manifest": str(manifest_path(out)),
        "bytes": nbytes,
        "sha256": manifest.sha256["engine"],
        "backend": manifest.backend,
        "backend_version": manifest.backend_version,
        "precision": manifest.precision,
        "targets": list(manifest.targets),
        "agreement": agreement,
    }
    if as_json:
        print(json.dumps(facts))
        return
    print(f"{out}: {manifest.precision} for {manifest.backend} {manifest.backend_version}".rstrip(), end=" ")
    print(f"({', '.join(manifest.targets)}), {nbytes / 1e6:.2f} MB; manifest {manifest_path(out).name}")
    if agreement["compared"]:
        print(
            f"agrees with its graph: {agreement['worst_mean_levels']} levels of 255 on average, "
            f"{agreement['largest_levels']} at most"
        )
    else:
        print(f"not compared with its graph, since it does not run here: {agreement['why']}")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
