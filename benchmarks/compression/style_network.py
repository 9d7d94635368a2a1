"""A real trained style transfer that was never ours, from its weight file to TorchScript.

    python -m benchmarks.compression.style_network --weights DIR/fast_style_wave_fp16.npz --out wave.pt
    python -m export.onnx --from-torchscript wave.pt --range 0:255 --size 256x256 --out wave.onnx

Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016, in the form of the
TensorFlow repository that published the weights: 9×9 ends, five residual blocks, instance norm after each convolution.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.compression.torchscript import write_torchscript
from runtime.errors import SourceError, run_command

LAYERS = 16
STRIDES = (1, 2, 2, *[1] * 10, 2, 2, 1)
UPSAMPLING = (13, 14)


class TfLayer(nn.Module):
    """Convolution with TensorFlow's SAME padding, then instance norm: weight, shift, scale as the file orders them."""

    def __init__(self, arrays: list[Tensor], stride: int, up: bool = False) -> None:
        super().__init__()
        weight = arrays[0].permute((3, 2, 0, 1))  # up: (kh, kw, out, in) → (in, out, kh, kw)
        self.weight, self.shift, self.scale = map(nn.Parameter, (weight.contiguous(), *arrays[1:]))
        self.stride, self.up = stride, up

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = F.conv_transpose2d(x, self.weight, stride=2)[:, :, :-1, :-1]
        elif self.stride == 2:  # even sizes: one pixel, behind
            x = F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, stride=2)
        else:
            x = F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
        return F.instance_norm(x, weight=self.scale, bias=self.shift, eps=1e-3)


class StyleTransfer(nn.Module):
    """(N, 3, H, W) RGB 0..255 → the same, not clamped; H and W multiples of 4.

    Raises:
        SourceError: the weight file is missing, damaged, or another network's.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            arrays = np.load(path)
            names = ["Variable", *(f"Variable_{i}" for i in range(1, 3 * LAYERS))]
            tensors = [torch.from_numpy(arrays[name].astype(np.float32)) for name in names]
        except FileNotFoundError as error:
            raise SourceError(f"there is no weight file {path}") from error
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise SourceError(f"{path} does not hold the {3 * LAYERS} arrays of the style network") from error
        self.layers = nn.ModuleList(
            TfLayer(tensors[3 * i : 3 * i + 3], stride, up=i in UPSAMPLING) for i, stride in enumerate(STRIDES)
        )

    def forward(self, x: Tensor) -> Tensor:
        layers = list(self.layers)
        for layer in layers[:3]:
            x = torch.relu(layer(x))
        for first, second in zip(layers[3:13:2], layers[4:13:2], strict=True):
            x = x + second(torch.relu(first(x)))
        for layer in layers[13:15]:
            x = torch.relu(layer(x))
        return torch.tanh(layers[15](x)) * 150 + 127.5


def main() -> int:
    """Write the TorchScript file."""
    seen = torch.zeros(1, 3, 256, 256)
    return write_torchscript("style_network", __doc__, "fast_style_wave_fp16.npz", StyleTransfer, seen)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
