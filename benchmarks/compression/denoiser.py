"""A real trained denoiser that was never ours, from its weight file to TorchScript.

    python -m benchmarks.compression.denoiser --weights DIR/dncnn_gray_sigma25.npz --out dncnn.pt
    python -m export.onnx --from-torchscript dncnn.pt --range 0:1 --colour gray --size 256x256 --out dncnn.onnx

Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", TIP 2017: seventeen 3×3
convolutions of 64 channels find the noise (σ = 25 levels of 255), which is subtracted; batch norm is folded in already.
"""

from __future__ import annotations

import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.compression.torchscript import write_torchscript
from runtime.errors import SourceError, run_command

CHANNELS = (1, *[64] * 16, 1)


class Denoiser(nn.Module):
    """(N, 1, H, W) gray 0..1 → the same without its noise, not clamped.

    Raises:
        SourceError: the weight file is missing, damaged, or another network's.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(inner, outer, 3, padding=1) for inner, outer in pairwise(CHANNELS)]
        self.noise = nn.Sequential(*[layer for conv in convolutions for layer in (conv, nn.ReLU())][:-1])
        try:
            arrays = np.load(path)
            for k, conv in enumerate(convolutions):
                weights = {"weight": arrays[f"w{k}"], "bias": arrays[f"b{k}"]}
                conv.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        except FileNotFoundError as error:
            raise SourceError(f"there is no weight file {path}") from error
        except (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            raise SourceError(f"{path} does not hold the {len(CHANNELS) - 1} convolutions of DnCNN") from error

    def forward(self, x: Tensor) -> Tensor:
        noise: Tensor = self.noise(x)
        return x - noise


def main() -> int:
    """Write the TorchScript file."""
    return write_torchscript("denoiser", __doc__, "dncnn_gray_sigma25.npz", Denoiser, torch.zeros(1, 1, 64, 64))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
