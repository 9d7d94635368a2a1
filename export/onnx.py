"""Turn a trained checkpoint, or a network trained elsewhere, into a frame graph: camera frames in, camera frames out.

    python -m export.onnx runs/bottling/checkpoint.safetensors --size 360x640 --out cyclegan.onnx --frames photos/
    python -m export.onnx --from-onnx style.onnx --range 0:255 --colour rgb --size 360x640 --out style_frames.onnx

The graph is compared with the trained network on `--frames` (or on synthetic pictures): it is written only if no
value differs by more than one level of 255. Its manifest is written beside it.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch

from export.colour_order import fold_flips
from export.compose import frame_graph_from_network
from export.fold import fold_affine
from export.foreign import foreign_onnx, foreign_torchscript
from export.frame_graph import PixelFormat
from export.macs import count_macs
from export.parity import measure_parity, parity_items
from export.simplify import refuse_random_nodes, simplified
from export.source import Source, Trained
from export.trace import OPSET
from runtime.errors import DONE, GraphError, SinkError, run_command
from runtime.manifest import Manifest, file_sha256, manifest_path, write_manifest

SIZE = re.compile(r"(\d+)x(\d+)")
RANGE = re.compile(r"(-?\d+(?:\.\d+)?):(-?\d+(?:\.\d+)?)")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; `arguments` default to the process's."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(_join_negative(given))
    out = Path(options.out)
    if not out.parent.is_dir():
        raise SinkError(f"there is no folder {out.parent} to write {out.name} into: make it first")
    command = f"python -m export.onnx {shlex.join(given)}"
    sources = _sources(options, out)
    try:
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            for name, source in sources.items():
                manifest = export_graph(source(), Path(folder) / name, options.frames)
                manifest = replace(
                    manifest, command=command, licence=options.licence, attribution=options.attribution
                )
                write_manifest(manifest, Path(folder) / name)
            for name in sources:  # the graph that names the others comes last
                for file in (manifest_path(Path(folder) / name), Path(folder) / name):
                    file.replace(out.with_name(file.name))
    except OSError as error:
        raise SinkError(f"cannot write {out}: {error.strerror}; free space or name another --out") from error
    _tell(manifest, out, options.json)
    return DONE


def export_graph(source: Source, out: Path, frames: Path | None = None) -> Manifest:
    """Compose, simplify, fold and check the frame graph of `source`, write it to `out`; return its manifest, unwritten.

    Raises:
        GraphError: the graph draws random numbers or is not valid ONNX.
        GateError: it differs from the trained network.
        SourceError: `frames` cannot be read.
    """
    ports = Manifest(
        out.name, {}, source.system, source.task, source.signature.frame, source.signature.translated,
        source.signature.outputs, source.signature.controls,
    )  # fmt: skip
    items, described = parity_items(ports, frames)
    pixels, returns = source.reference.pixels, source.reference.returns
    graph = frame_graph_from_network(source.network, source.signature, pixels, returns)
    refuse_random_nodes(graph.graph)
    graph, simplification = simplified(graph, items[:2])
    graph = fold_flips(fold_affine(graph))
    _check(graph)
    parity = measure_parity(graph, source.run_reference, items)
    out.write_bytes(graph.SerializeToString())
    return replace(
        ports,
        sha256={"engine": file_sha256(out), "checkpoint": source.sha256},
        backend_version=f"opset {OPSET}",
        parity={"frames": described, "reference": f"torch {torch.__version__}", **parity.figures()},
        decisions=source.decisions | {"simplification": simplification},
        companions={part: companion_name(out.name, part) for part in source.companions.values()},
        macs=count_macs(graph).exact,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def companion_name(engine: str, part: str) -> str:
    """File name of the companion `part` beside an engine: x.onnx → x_style_encoder.onnx."""
    return f"{Path(engine).stem}_{part}{Path(engine).suffix}"


def _check(graph: onnx.ModelProto) -> None:
    try:
        onnx.checker.check_model(graph, full_check=True)
    except onnx.checker.ValidationError as error:
        raise GraphError(f"the exported graph is not valid ONNX: {str(error).splitlines()[0]}") from error


def _sources(options: argparse.Namespace, out: Path) -> dict[str, Callable[[], Source]]:
    """File name → how to get its source, companions first."""
    if sum(item is not None for item in (options.checkpoint, options.from_onnx, options.from_torchscript)) != 1:
        raise GraphError("name one thing to export: a checkpoint, --from-onnx FILE or --from-torchscript FILE")
    size = _size(options.size)
    if options.checkpoint is None:
        if size is None:
            raise GraphError("a network trained elsewhere needs --size HxW")
        return {out.name: lambda: _foreign(options, size)}
    trained = Trained.load(options.checkpoint)
    name = options.part or trained.info.parts[0]
    source = trained.source(name, size, options.bits)
    companions = {
        companion_name(out.name, part): _companion(trained, part, size, options.bits)
        for part in source.companions.values()
    }
    return {**companions, out.name: lambda: source}


def _companion(trained: Trained, part: str, size: tuple[int, int] | None, bits: int) -> Callable[[], Source]:
    return lambda: trained.source(part, trained.part(part).fixed_size or size, bits)


def _foreign(options: argparse.Namespace, size: tuple[int, int]) -> Source:
    if not (match := RANGE.fullmatch(options.range or "")):
        raise GraphError("a network trained elsewhere needs --range LOW:HIGH, such as 0:255, -1:1 or 0:1")
    low, high = float(match[1]), float(match[2])
    if not low < high:
        raise GraphError(f"--range {options.range}: black must be below white")
    pixels = PixelFormat(low, high, options.colour, options.layout, options.bits)
    if options.from_onnx is not None:
        return foreign_onnx(options.from_onnx, size, pixels)
    return foreign_torchscript(options.from_torchscript, size, pixels)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = SIZE.fullmatch(text)
    if not match or not (int(match[1]) and int(match[2])):
        raise GraphError(f"--size {text}: write height x width in pixels, such as 360x640")
    return int(match[1]), int(match[2])


def _join_negative(arguments: list[str]) -> list[str]:
    """`--range -1:1` → `--range=-1:1`: argparse takes a leading minus for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--range":
            joined[-1] = f"--range={argument}"
        else:
            joined.append(argument)
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.onnx", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?", type=Path, help="checkpoint.safetensors of a run")
    parser.add_argument("--out", required=True, help="the graph to write (.onnx)")
    parser.add_argument("--size", metavar="HxW", help="height x width of the frames")
    parser.add_argument("--part", help="which of the system's networks; default: its first")
    parser.add_argument("--frames", type=Path, metavar="DIR", help="real frames for the comparison with the network")
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8, help="depth of the frames")
    parser.add_argument("--licence", default="", help="of the weights, recorded in the manifest")
    parser.add_argument("--attribution", default="", help="recorded in the manifest")
    parser.add_argument("--json", action="store_true", help="print what was made as one JSON object")
    foreign = parser.add_argument_group("a network trained elsewhere")
    foreign.add_argument("--from-onnx", type=Path, metavar="FILE", help="float image → image network in ONNX")
    foreign.add_argument("--from-torchscript", type=Path, metavar="FILE", help="the same in TorchScript")
    foreign.add_argument("--range", metavar="LOW:HIGH", help="its values of black and white: 0:255, -1:1, 0:1")
    foreign.add_argument("--colour", choices=("rgb", "bgr", "gray"), default="rgb", help="its colour order")
    foreign.add_argument("--layout", choices=("nchw", "nhwc"), default="nchw", help="its layout")
    return parser


def _tell(manifest: Manifest, out: Path, as_json: bool) -> None:
    published = count_macs(onnx.load(out)).published
    facts = {
        "graph": str(out), "manifest": str(manifest_path(out)), "bytes": out.stat().st_size,
        "sha256": manifest.sha256["engine"], "system": manifest.system, "parity": manifest.parity,
        "macs": {"exact": manifest.macs, "published": published}, "decisions": manifest.decisions,
        "companions": manifest.companions,
    }  # fmt: skip
    if as_json:
        print(json.dumps(facts))
        return
    print(f"{out}: {manifest.system}, {out.stat().st_size / 1e6:.2f} MB, {manifest.macs / 1e9:.2f} GMAC", end=" ")
    print(f"({published / 1e9:.2f} as published counts go); manifest {manifest_path(out).name}")
    parity = manifest.parity
    print(f"equals the network on {parity['frames']}: at most {parity['max_level']:g} level(s) of 255 apart", end="")
    print(f", {parity['psnr_db']:g} dB" if "psnr_db" in parity else f", error {parity['float_error']:.1e}")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
