"""Receive images from a modality, translate them, and store the derived series in a PACS.

    python -m runtime.dicom --engine denoise.onnx --pacs ORTHANC@127.0.0.1:4242 --state node/
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from runtime.dicom.options import NodeOptions, Peer, parse_peer
from runtime.dicom.values import WINDOW
from runtime.engine import BACKENDS
from runtime.errors import DONE, DicomError, run_command

FITS = ("letterbox", "stretch", "tile")  # "crop" would leave a part untranslated


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.dicom",
        description="Receive DICOM images (C-STORE), translate them, and store the derived series in a PACS.",
        epilog="example:\n  python -m runtime.dicom --engine denoise.onnx --pacs ORTHANC@127.0.0.1:4242 --state node/",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--engine", type=Path, required=True, help="engine with its manifest beside it")
    add("--pacs", required=True, metavar="AET@HOST:PORT", help="where the derived series go")
    add("--state", type=Path, required=True, metavar="DIR", help="this node's folder: queue, rejected files, key")
    add("--listen", default="INLOCO@127.0.0.1:11112", metavar="[AET@][HOST:]PORT", help="where and as whom to receive")
    add("--allow", action="append", default=[], metavar="AET", help="take images from this AE title only; repeatable")
    add("--backend", help=f"instead of the manifest's: {', '.join(BACKENDS)}")
    add("--control", action="append", default=[], metavar="NAME=VALUE", help="as for runtime.stream")
    add("--fit", choices=FITS, default="letterbox", help="for images of another size than the engine's")
    add("--values", default=WINDOW, metavar="HOW", help="the engine's whole range: window (default), stored, LOW:HIGH")
    label = parser.add_mutually_exclusive_group()
    label.add_argument("--label", default="SYNTHETIC", metavar="TEXT", help="burned into every frame")
    label.add_argument("--no-label", action="store_const", const="", dest="label", help="burn nothing in")
    add("--deidentify", action="store_true", help="PS3.15 Basic Profile; patients and UIDs become keyed pseudonyms")
    add("--json", action="store_true", help="print one JSON object when ready and one at the end")
    return parser


def _options(arguments: argparse.Namespace) -> NodeOptions:
    return NodeOptions(
        engine=arguments.engine,
        state=arguments.state,
        pacs=parse_peer(arguments.pacs, "ANY-SCP"),
        here=parse_peer(arguments.listen, "INLOCO", "127.0.0.1"),
        allowed=tuple(arguments.allow),
        backend=arguments.backend,
        controls=tuple(arguments.control),
        fit=arguments.fit,
        values=arguments.values,
        label=arguments.label,
        deidentify=arguments.deidentify,
    )


def _say_ready(options: NodeOptions, as_json: bool) -> Callable[[int], None]:
    def say(port: int) -> None:
        here = Peer(options.here.title, options.here.host, port)
        if as_json:
            print(json.dumps({"listening": str(here), "port": port}), flush=True)
        else:
            print(f"{here} receives for {options.pacs}; Ctrl-C ends", file=sys.stderr)

    return say


def main() -> int:
    """The command."""
    arguments = _parser().parse_args()
    options = _options(arguments)
    options.check()
    try:
        serve = import_module("runtime.dicom.service").serve
    except ImportError as error:
        raise DicomError(f"DICOM needs {error.name!r}, which is not installed: pip install 'inloco[dicom]'") from error
    counts = serve(options, _say_ready(options, arguments.json))
    print(json.dumps(counts) if arguments.json else ", ".join(f"{count} {event}" for event, count in counts.items()))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
