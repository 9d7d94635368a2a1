"""The critics of MUNIT and DRIT: plain strided convolutions, the same at three scales, without any norm.

Huang et al., "Multimodal Unsupervised Image-to-Image Translation", ECCV 2018.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from models.networks.multiscale_critic import MultiscaleCritic


class StridedCritics(MultiscaleCritic):
    """(N, channels, H, W) → one map of logits per scale; H and W at least 16·2^(scales - 1)."""

    def __init__(self, channels: int = 3, width: int = 64, scales: int = 3, slope: float = 0.2) -> None:
        super().__init__(scales=0)
        self.critics.extend(_critic(channels, width, slope) for _ in range(scales))


def _critic(channels: int, width: int, slope: float) -> nn.Sequential:
    sides = [channels, width, 2 * width, 4 * width, 8 * width]
    layers: list[nn.Module] = []
    for inner, outer in pairwise(sides):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(inner, outer, 4, 2), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers, nn.Conv2d(sides[-1], 1, 1))
