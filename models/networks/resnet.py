"""The ResNet generator of CycleGAN (Zhu et al., ICCV 2017, after Johnson et al., ECCV 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from models.blocks.antialias import BlurDown, smooth_up
from models.blocks.norm import norm


class ResidualBlock(nn.Module):
    """x + conv(conv(x)), edges reflected or (`zero_edge`) zero; no activation after the sum. (N, C, H, W) → same."""

    def __init__(
        self, channels: int, norm_kind: str = "instance", dropout: float = 0.0, zero_edge: bool = False
    ) -> None:
        super().__init__()

        def conv() -> list[nn.Module]:
            edge: list[nn.Module] = [] if zero_edge else [nn.ReflectionPad2d(1)]
            return [*edge, nn.Conv2d(channels, channels, 3, padding=int(zero_edge), bias=norm_kind != "batch")]

        self.body = nn.Sequential(
            *conv(), norm(norm_kind, channels), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else []),
            *conv(), norm(norm_kind, channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y


def resnet_generator(
    channels_in: int = 3, channels_out: int = 3, width: int = 64, blocks: int = 9, norm_kind: str = "instance",
    antialias: bool = False,
) -> nn.Sequential:  # fmt: skip
    """(N, channels_in, H, W) → (N, channels_out, H, W) in [-1, 1]; H and W multiples of 4.

    `antialias` is CUT's form: no strided convolution, blurred resampling instead, with as many parameters.
    """
    down, up = (blurred_down, smoothed_up) if antialias else (strided_down, transposed_up)
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(channels_in, width, 7, bias=norm_kind != "batch"), norm(norm_kind, width),
        nn.ReLU(), *down(width, norm_kind), *down(2 * width, norm_kind),
        *(ResidualBlock(4 * width, norm_kind) for _ in range(blocks)),
        *up(4 * width, norm_kind), *up(2 * width, norm_kind),
        nn.ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), nn.Tanh(),
    )  # fmt: skip


def strided_down(inner: int, norm_kind: str) -> list[nn.Module]:
    """3×3 stride-2 convolution to twice the channels, norm, ReLU."""
    conv = nn.Conv2d(inner, 2 * inner, 3, 2, 1, bias=norm_kind != "batch")
    return [conv, norm(norm_kind, 2 * inner), nn.ReLU()]


def transposed_up(inner: int, norm_kind: str) -> list[nn.Module]:
    """3×3 transposed convolution to half the channels and twice the size, norm, ReLU."""
    conv = nn.ConvTranspose2d(inner, inner // 2, 3, 2, 1, 1, bias=norm_kind != "batch")
    return [conv, norm(norm_kind, inner // 2), nn.ReLU()]


def blurred_down(inner: int, norm_kind: str) -> list[nn.Module]:
    """3×3 convolution to twice the channels, norm, ReLU, half the size behind a blur."""
    conv = nn.Conv2d(inner, 2 * inner, 3, 1, 1, bias=norm_kind != "batch")
    return [conv, norm(norm_kind, 2 * inner), nn.ReLU(), BlurDown(2 * inner)]


def smoothed_up(inner: int, norm_kind: str) -> list[nn.Module]:
    """Twice the size by interpolation, 3×3 convolution to half the channels, norm, ReLU."""
    conv = nn.Conv2d(inner, inner // 2, 3, 1, 1, bias=norm_kind != "batch")
    return [smooth_up(), conv, norm(norm_kind, inner // 2), nn.ReLU()]
