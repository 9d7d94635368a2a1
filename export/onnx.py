"""Turn a trained checkpoint, or a network trained elsewhere, into a frame graph: camera frames in, camera frames out.

    python -m export.onnx runs/bottling/checkpoint.safetensors --size 360x640 --out cyclegan.onnx --frames photos/
    python -m export.onnx --from-onnx style.onnx --range 0:255 --colour rgb --size 360x640 --out style_frames.onnx

    python -m export.onnx runs/munit/checkpoint.safetensors --size 256x256 --bake style=seed:3 --out one_style.onnx

The graph is compared with the trained network on `--frames` (or on synthetic pictures): it is written only if no
value differs by more than one level of 255. Its manifest is written beside it.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from export.foreign import foreign_onnx, foreign_torchscript
from export.frame_graph import PixelFormat
from export.graph import Plan, export_bundle
from export.macs import count_macs
from export.source import Source, Trained
from runtime.errors import DONE, GraphError, SinkError, run_command
from runtime.manifest import Manifest, manifest_path, write_manifest

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
    plan = _plan(options)
    try:
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            draft = Path(folder) / out.name
            for name, manifest in export_bundle(plan, draft).items():  # the graph that names the others comes last
                manifest = replace(
                    manifest, command=command, licence=options.licence, attribution=options.attribution
                )
                write_manifest(manifest, draft.with_name(name))
                for file in (manifest_path(draft.with_name(name)), draft.with_name(name)):
                    file.replace(out.with_name(file.name))
    except OSError as error:
        raise SinkError(f"cannot write {out}: {error.strerror}; free space or name another --out") from error
    _tell(manifest, out, options.json)
    return DONE


def _plan(options: argparse.Namespace) -> Plan:
    """What the command line asks for."""
    if sum(item is not None for item in (options.checkpoint, options.from_onnx, options.from_torchscript)) != 1:
        raise GraphError("name one thing to export: a checkpoint, --from-onnx FILE or --from-torchscript FILE")
    size, bake = _size(options.size), tuple(options.bake)
    if options.checkpoint is None:
        if size is None:
            raise GraphError("a network trained elsewhere needs --size HxW")
        return Plan(lambda: _foreign(options, size), _no_companion, options.frames, bake)
    trained = Trained.load(options.checkpoint)
    name = options.part or trained.info.parts[0]
    return Plan(
        lambda: trained.source(name, size, options.bits),
        lambda role: trained.companion(role, size, options.bits),
        options.frames,
        bake,
    )


def _no_companion(role: str) -> Source:
    raise GraphError(f"a network trained elsewhere has no {role}")


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
    parser.add_argument(
        "--bake", action="append", default=[], metavar="NAME=VALUE",
        help="fix a control for good, as in style=seed:3; the graph becomes smaller",
    )  # fmt: skip
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
