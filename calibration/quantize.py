"""Give a frame graph a lower precision, judge it on held-out frames, and write it only if the gate passes.

python -m calibration.quantize cyclegan.onnx --frames photos/ --precision int8 --out cyclegan_int8.onnx
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from calibration.controls import constant_controls
from calibration.frames import list_text
from calibration.gate import DEFAULTS, adjusted, verdict
from calibration.int8 import WEIGHT_LEVELS, Policy
from calibration.methods import METHODS
from calibration.output import check_writable, write_graph
from calibration.procedure import Data, Outcome, Settings, gather, load_graph, quantise_graph, refuse, with_trained
from runtime.companions import EngineCompanions
from runtime.errors import DONE, EngineError, run_command
from runtime.fit import FITS
from runtime.manifest import Manifest, file_sha256
from runtime.notes import say_nothing

SUSPECTS_SHOWN = 10


def new_manifest(manifest: Manifest, outcome: Outcome, settings: Settings, graph: Path) -> Manifest:
    """The manifest of the written graph, but for the hashes of what is written."""
    decisions = {"calibration_method": outcome.method, "kept_layers": ", ".join(outcome.kept)}
    higher = "fp16" if settings.trained is None else "fp32"
    if settings.precision == "int8":
        decisions |= {
            "ends": "int8" if settings.policy.ends else higher,
            "transposed": "int8" if settings.policy.transposed else higher,
            "weight_bits": str(settings.policy.weight_bits),
            "bias_correction": "on" if settings.correct_biases else "off",
        }
    return replace(
        manifest,
        precision=settings.precision,
        gate=verdict(outcome.figures, settings.thresholds),
        sha256=manifest.sha256 | {"graph": file_sha256(graph)},
        decisions=manifest.decisions | {name: value for name, value in decisions.items() if value},
        command=shlex.join(["python", "-m", "calibration.quantize", *sys.argv[1:]]),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def report(data: Data, outcome: Outcome, settings: Settings) -> dict[str, Any]:
    """What --json prints."""
    return {
        "precision": settings.precision,
        "method": outcome.method,
        "kept": list(outcome.kept),
        "gate": verdict(outcome.figures, settings.thresholds),
        "calibration_frames": len(data.calibration),
        "audit": asdict(data.audit) if data.audit else {},
        "constant_controls": constant_controls(data.calibration.draws),
        "suspects": [asdict(suspect) for suspect in outcome.suspects],
    }


def table(found: dict[str, Any]) -> str:
    """The same for people."""
    gate, audit, lines = found["gate"], found["audit"], []
    if audit:
        lines += [
            f"frames     {found['calibration_frames']} to calibrate, {gate['frames']} to judge; "
            f"{audit['duplicates']} near-duplicates, {audit['blank']} blank and {len(audit['broken'])} "
            "unreadable ones left out",
            f"exposure   {' '.join(map(str, audit['exposure']))} frames from dark to bright",
        ]
    if found["constant_controls"]:
        names = ", ".join(found["constant_controls"])
        lines.append(f"controls   {names} kept at the default: nothing here can draw them; --references DIR may")
    kept = f"; kept back: {', '.join(found['kept'])}" if found["kept"] else ""
    lines += [
        f"precision  {found['precision']}, {found['method']}{kept}",
        f"PSNR       mean {gate['mean_psnr']:.2f} dB, 1st percentile {gate['p1_psnr']:.2f}, worst frame "
        f"{gate['worst_psnr']:.2f}, worst 32×32 tile {gate['worst_tile_psnr']:.2f}",
        f"SSIM       mean {gate['mean_ssim']:.4f}, worst {gate['worst_ssim']:.4f}",
        f"bias       {gate['bias']:+.3f} levels, worst frame {gate['worst_bias']:+.3f}",
        f"gate       {gate['verdict']}",
    ]
    lines += [
        f"  keeping {suspect['layer']:<40} gains {suspect['gain_db']:6.2f} dB "
        f"({suspect['share']:.0%} of the error)"
        for suspect in found["suspects"][:SUSPECTS_SHOWN]
    ]
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m calibration.quantize",
        description="Give a frame graph a lower precision; it is written if it passes on held-out frames.",
        epilog="example: python -m calibration.quantize cyclegan.onnx --frames photos/ --precision int8 "
        "--out cyclegan_int8.onnx",
    )
    parser.add_argument("graph", type=Path, help="fp32 frame graph with its manifest beside it")
    parser.add_argument("--frames", help="folder or glob of frames of the real camera")
    parser.add_argument("--references", metavar="DIR", help="pictures that styles are taken of (default: the frames)")
    parser.add_argument("--precision", choices=("int8", "fp16"), required=True)
    parser.add_argument("--out", type=Path, required=True, help="graph to write, .onnx")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    _add_frame_options(parser)
    _add_precision_options(parser)
    gate = parser.add_argument_group("gate", "defaults: int8 38, 30, 1; fp16 50, 50, 1")
    gate.add_argument("--mean-psnr", type=float, metavar="DB", help="over the held-out frames, at least")
    gate.add_argument("--worst-psnr", type=float, metavar="DB", help="of the worst frame, at least")
    gate.add_argument("--largest-bias", type=float, metavar="LEVELS", help="of the mean, of 255, at most")
    return parser.parse_args(arguments)


def _add_frame_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("frames")
    group.add_argument("--calibration-frames", type=int, default=64, metavar="N", help="default 64")
    group.add_argument(
        "--gate-frames", type=int, default=32, metavar="N", help="held out to judge; default 32"
    )
    group.add_argument(
        "--seed", type=int, default=0, help="of the choice of frames and of the controls; default 0"
    )
    group.add_argument(
        "--fit", choices=sorted(FITS), default="crop", help="for frames of another size; default crop"
    )


def _add_precision_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("precision")
    group.add_argument(
        "--method",
        choices=(*METHODS, "auto"),
        default="mse",
        help="of the INT8 ranges; auto tries all three; default mse",
    )
    group.add_argument(
        "--ends",
        choices=("fp16", "int8"),
        default="fp16",
        help="first and last convolutions of an INT8 graph; default fp16, the safe one",
    )
    group.add_argument(
        "--transposed",
        choices=("fp16", "int8"),
        default="fp16",
        help="transposed convolutions of an INT8 graph; default fp16, the safe one",
    )
    group.add_argument(
        "--weight-bits",
        type=int,
        choices=sorted(WEIGHT_LEVELS),
        default=7,
        help="of INT8 weights; 7 cannot overflow on any CPU, 8 is finer, for GPUs and CPUs with VNNI; default 7",
    )
    group.add_argument(
        "--scales",
        choices=("auto", "trained", "measured"),
        default="auto",
        help="of INT8 activations: as trained, with the policy and weight bits of training, or measured on the frames; "
        "default: trained where the graph carries them",
    )
    group.add_argument("--no-bias-correction", dest="correct_biases", action="store_false")
    group.add_argument("--explain", action="store_true", help="rank the layers that cost the quality")
    group.add_argument(
        "--keep-fp16", default="", metavar="auto|NAMES", help="layers of an INT8 graph to keep in FP16"
    )
    group.add_argument(
        "--keep-fp32", default="", metavar="auto|NAMES", help="layers of an FP16 graph to keep in FP32"
    )


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that a command line means.

    Raises:
        EngineError: it keeps layers in a precision that is not the next higher one.
    """
    keep, other = options.keep_fp16, options.keep_fp32
    if options.precision == "fp16":
        keep, other = other, keep
    if other:
        raise EngineError(
            f"kept layers of an {options.precision} graph are "
            f"{'fp16: use --keep-fp16' if options.precision == 'int8' else 'fp32: use --keep-fp32'}"
        )
    thresholds = adjusted(
        DEFAULTS[options.precision],
        mean_psnr=options.mean_psnr,
        worst_psnr=options.worst_psnr,
        largest_bias=options.largest_bias,
    )
    return Settings(
        precision=options.precision,
        thresholds=thresholds,
        frames=options.frames,
        references=options.references,
        counts=(options.calibration_frames, options.gate_frames),
        seed=options.seed,
        fit=options.fit,
        method=options.method,
        policy=Policy(options.ends == "int8", options.transposed == "int8", options.weight_bits),
        correct_biases=options.correct_biases,
        scales=options.scales,
        explain=options.explain,
        keep=keep,
        quiet=options.quiet,
    )


def _warn(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(f"warning: {sentence}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """The command; `arguments` default to the process's."""
    options = parse(arguments)
    model, manifest = load_graph(options.graph)
    settings = with_trained(settings_of(options), model)
    check_writable(options.graph, options.out, manifest)
    with closing(EngineCompanions(options.graph, manifest, "onnxruntime", say_nothing)) as companions:
        data = gather(manifest, settings, companions)
        _warn(data.audit.warnings() if data.audit else ())
        outcome = quantise_graph(model, data, settings)
        _warn(outcome.warnings)
    found = report(data, outcome, settings)
    print(json.dumps(found) if options.json else table(found))
    refuse(outcome, settings)
    frames = list_text(data.calibration.paths)
    write_graph(outcome.model, frames, new_manifest(manifest, outcome, settings, options.graph), options.out)
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
