"""What the commands share that take a network over from its weight file: trace it, and write TorchScript."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from export.trace import quiet_torch
from runtime.errors import DONE


def write_torchscript(
    name: str, doc: str | None, weights: str, network: Callable[[Path], nn.Module], seen: Tensor
) -> int:
    """The command `benchmarks.compression.NAME --weights FILE --out FILE`; `seen` is an image to trace by.

    Raises:
        SourceError: `network` refused the weight file; nothing is written then.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.compression.{name}", description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--weights", type=Path, required=True, help=weights)
    parser.add_argument("--out", type=Path, required=True, help="TorchScript file to write")
    args = parser.parse_args()
    partial = args.out.with_name(args.out.name + ".tmp")
    with quiet_torch():
        script = torch.jit.trace(network(args.weights).eval(), seen)  # type: ignore[no-untyped-call]
        script.save(partial)
    partial.replace(args.out)
    print(args.out)
    return DONE
