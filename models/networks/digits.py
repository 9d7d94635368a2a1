"""Small networks for 32×32 digits that embed, generate and judge (Taigman et al., ICLR 2017).

4×4 convolutions of stride 2 with batch norm, all fully convolutional.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def embedder(channels: int, width: int, code: int) -> nn.Sequential:
    """(N, channels, 32, 32) → (N, code) in (-1, 1): four convolutions, width-2·width-4·width-code channels."""
    layers: list[nn.Module] = []
    for inner, outer in pairwise([channels, width, 2 * width, 4 * width]):
        layers += [nn.Conv2d(inner, outer, 3, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(4 * width, code, 4), nn.Tanh(), nn.Flatten())


def painter(code: int, channels: int, width: int) -> nn.Sequential:
    """(N, code) → (N, channels, 32, 32) in [-1, 1]: four transposed convolutions, 4·width-2·width-width-channels."""
    layers: list[nn.Module] = [nn.Unflatten(1, (code, 1, 1))]
    strides = [(1, 0), (2, 1), (2, 1)]
    for (inner, outer), (stride, padding) in zip(pairwise([code, 4 * width, 2 * width, width]), strides, strict=True):
        conv = nn.ConvTranspose2d(inner, outer, 4, stride, padding, bias=False)
        layers += [conv, nn.BatchNorm2d(outer), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh())


def judge(channels: int, width: int, outputs: int) -> nn.Sequential:
    """(N, channels, 32, 32) → (N, outputs) logits: four convolutions, width-2·width-4·width-outputs."""
    layers: list[nn.Module] = []
    for inner, outer in pairwise([channels, width, 2 * width, 4 * width]):
        layers += [nn.Conv2d(inner, outer, 3, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(4 * width, outputs, 4), nn.Flatten())
