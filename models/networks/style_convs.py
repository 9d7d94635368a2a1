"""Layers of StyleGAN2 (Karras et al., CVPR 2020) as SinCUT uses them: with a style that is always one.

Weights are N(0, 1) and scaled where they are used, so that all learn at one rate. With a constant style the modulated
convolution's weight depends on parameters alone, and export turns it, as every scale here, into a constant.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import ConfigError

SLOPE = 0.2
GAIN = math.sqrt(2)  # of the activation, which keeps the variance


class ScaledConv(nn.Module):
    """Convolution with equalised learning rate; with `act`, then LeakyReLU · √2; with `down`, blurred and halved."""

    def __init__(
        self, inner: int, outer: int, kernel: int, *, down: bool = False, pad: bool = True, act: bool = True,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outer, inner, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outer)) if bias else None
        self.down, self.act = down, act
        self.padding = kernel // 2 if pad and not down else 0

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.shape[2]
        weight = self.weight / math.sqrt(self.weight[0].numel())
        if self.down:
            # A blur of 4 and a stride of 2 leave half the size.
            lengthening = 4 - 2 + kernel - 1
            x = blurred(x, ((lengthening + 1) // 2, lengthening // 2))
        y = F.conv2d(x, weight, self.bias, stride=2 if self.down else 1, padding=self.padding)
        return F.leaky_relu(y, SLOPE) * GAIN if self.act else y


class UnitStyleUp(nn.Module):
    """Demodulated transposed convolution to twice the size, blur, noise in training, LeakyReLU · √2; style one."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outer, inner, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outer))
        self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / math.sqrt(self.weight[0].numel())
        weight = weight * torch.rsqrt(weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8)
        y = blurred(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1), gain=4.0)
        if self.training:
            y = y + self.noise_strength * torch.randn_like(y[:, :1])
        return F.leaky_relu(y + self.bias[:, None, None], SLOPE) * GAIN


class ScaledBlock(nn.Module):
    """(conv(conv(x)) + shortcut(x)) / √2; (N, inner, H, W) → (N, outer, H, W), or half of H and W with `down`."""

    def __init__(self, inner: int, outer: int, down: bool) -> None:
        super().__init__()
        self.convs = nn.Sequential(ScaledConv(inner, inner, 3), ScaledConv(inner, outer, 3, down=down))
        plain = inner == outer and not down
        self.shortcut = nn.Identity() if plain else ScaledConv(inner, outer, 1, down=down, act=False, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.convs(x) + self.shortcut(x)
        return total / GAIN


def blurred(x: Tensor, padding: tuple[int, int], gain: float = 1.0) -> Tensor:
    """[1, 3, 3, 1]² blur with zeros around, `padding` before and after on both axes; its weights sum to `gain`."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device, dtype=x.dtype) / 8
    kernel = (torch.outer(row, row) * gain).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (*padding, *padding)), kernel, groups=x.shape[1])


def unit_style_generator(channels: int, width: int, blocks: int) -> nn.Sequential:
    """(N, channels, H, W) → same size, unbounded; H and W even; 8·width channels, 16·width at half the size."""
    outer, inner = 8 * width, 16 * width
    return nn.Sequential(
        nn.Identity(), ScaledConv(channels, outer, 1), ScaledBlock(outer, inner, down=True),
        *(ScaledBlock(inner, inner, down=False) for _ in range(blocks // 2)),
        *(ScaledBlock(inner, inner, down=False) for _ in range(blocks // 2)),
        UnitStyleUp(inner, outer), ScaledConv(outer, channels, 1),
    )  # fmt: skip


def style_critic(channels: int, width: int, size: int) -> nn.Sequential:
    """(N, channels, size, size) → (N, 1) logits; size a power of two from 8 to 256, halved down to 4 px."""
    if size not in (8, 16, 32, 64, 128, 256):
        raise ConfigError(f"size = {size}: the critic of StyleGAN2 takes crops of 8, 16, 32, 64, 128 or 256 px")
    sides = {px: min(48 * width, 256 * width // px) for px in (4, 8, 16, 32, 64, 128, 256)}
    layers: list[nn.Module] = [ScaledConv(channels, sides[size], 1)]
    px = size
    while px > 4:
        layers.append(ScaledBlock(sides[px], sides[px // 2], down=True))
        px //= 2
    layers += [ScaledConv(sides[4], sides[4], 3), ScaledConv(sides[4], sides[4], 4, pad=False)]
    return nn.Sequential(*layers, ScaledConv(sides[4], 1, 1, act=False), nn.Flatten())
