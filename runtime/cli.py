"""`inloco VERB …`: every command of the project behind one name. `inloco` alone lists them.

    inloco stream --engine cyclegan_int8.onnx --camera 0
"""

from __future__ import annotations

import runpy
import sys
from difflib import get_close_matches
from importlib.util import find_spec

from runtime.errors import BAD_INPUT, DONE

# Verb → the module that `python -m` runs, and what it does; by name, since a device holds `runtime` only.
VERBS = {
    "train": ("models.train", "train a system on your images"),
    "systems": ("models.list", "list the systems"),
    "checkpoint": ("models.checkpoint", "keep one generator of a checkpoint"),
    "onnx": ("export.onnx", "turn a checkpoint into a frame graph"),
    "compress": ("models.compress", "search the best student of a teacher for a budget of milliseconds"),
    "quantize": ("calibration.quantize", "write a precision into a frame graph, and judge it"),
    "engine": ("export.engine", "build an engine from a frame graph"),
    "stream": ("runtime.stream", "translate a camera, a video or a folder"),
    "dicom": ("runtime.dicom", "translate images between a modality and a PACS"),
    "serve": ("runtime.serve", "serve pictures, live streams and a page over HTTP"),
    "sample": ("runtime.sample", "run an engine on draws or pictures, for grids, classes and styles"),
    "verify": ("runtime.verify", "prove that an engine is the one its manifest names"),
    "capi": ("runtime.capi.build", "compile the C library libinloco.so"),
    "parzen": ("benchmarks.parzen", "judge a generator of noise as the first GAN paper did"),
    "evidence": ("benchmarks.evidence", "train systems for minutes on real images and judge them"),
    "evidence-gate": ("benchmarks.evidence.precision", "say which precision of what was so trained passes the gate"),
    "style-network": ("benchmarks.compression.style_network", "take over a published style network as TorchScript"),
    "style-content": ("benchmarks.compression.content", "write pictures for a style network and its student"),
    "denoiser": ("benchmarks.compression.denoiser", "take over a published denoiser as TorchScript"),
    "noisy-pairs": ("benchmarks.compression.noisy", "write pictures with and without noise for a denoiser"),
    "systems-page": ("benchmarks.systems_page", "write docs/systems.md from the registry and the evidence"),
    "limited-data": ("benchmarks.limited_data", "train on few images with each method against overfitting"),
    "digits": ("benchmarks.digits", "train the digit table of UNIT's paper"),
    "latency": ("benchmarks.latency", "time engines and write the report"),
    "quality": ("benchmarks.quality", "judge translations by metrics and write the report"),
    "efficiency": ("benchmarks.efficiency", "compare an INT8 engine with bare INT8 convolutions"),
    "device-table": ("benchmarks.search.table", "time the parts of students on a device, for the search"),
    "overhead": ("benchmarks.overhead", "compare the stream with a bare loop over the engine"),
    "streams-cost": ("benchmarks.streams", "compare two streams of one engine with twice one"),
    "serve-load": ("benchmarks.serve_load", "load the service with many clients"),
    "soak": ("benchmarks.soak", "harm a running stream for minutes, and account for every frame"),
    "c-overhead": ("benchmarks.c_api", "time what the C library adds to an engine"),
}


def main() -> int:
    """Run the command that the first argument names with the arguments that follow."""
    verb, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    if verb in ("-h", "--help"):
        print(usage())
        return DONE
    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(VERBS)}"
        print(f"error: there is no verb {verb!r}; {hint}", file=sys.stderr)
        return BAD_INPUT
    return run(verb, rest)


def run(verb: str, arguments: list[str]) -> int:
    """As `python -m MODULE ARGUMENTS`; says so where this installation lacks the module's package."""
    module, _ = VERBS[verb]
    package = module.partition(".")[0]
    if find_spec(package) is None:
        print(f"error: {verb!r} needs the package {package}/, which this installation lacks", file=sys.stderr)
        return BAD_INPUT
    sys.argv = [f"inloco {verb}", *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return DONE


def usage() -> str:
    """The verbs, one line each, and an example."""
    lines = [f"  {verb:<12}{what}" for verb, (_, what) in VERBS.items()]
    return "\n".join([
        "usage: inloco VERB [options]   (inloco VERB --help says more)", "", *lines, "",
        "example: inloco stream --engine cyclegan_int8.onnx --camera 0",
    ])  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
