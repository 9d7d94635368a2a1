"""The ResNet generator of CycleGAN (Zhu et al., ICCV 2017, after Johnson et al., ECCV 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from models.blocks.norm import norm


class ResidualBlock(nn.Module):
    """x + conv(conv(x)) with reflection padding; no activation after the sum. (N, C, H, W) → same."""

    def __init__(self, channels: int, norm_kind: str = "instance", dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=norm_kind != "batch"),
            norm(norm_kind, channels), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else []),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=norm_kind != "batch"),
            norm(norm_kind, channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y


def resnet_generator(
    channels_in: int = 3, channels_out: int = 3, width: int = 64, blocks: int = 9, norm_kind: str = "instance"
) -> nn.Sequential:
    """(N, channels_in, H, W) → (N, channels_out, H, W) in [-1, 1]; H and W multiples of 4."""
    bias = norm_kind != "batch"
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(channels_in, width, 7, bias=bias), norm(norm_kind, width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), norm(norm_kind, 2 * width), nn.ReLU(),
        nn.Conv2d(2 * width, 4 * width, 3, 2, 1, bias=bias), norm(norm_kind, 4 * width), nn.ReLU(),
        *(ResidualBlock(4 * width, norm_kind) for _ in range(blocks)),
        nn.ConvTranspose2d(4 * width, 2 * width, 3, 2, 1, 1, bias=bias), norm(norm_kind, 2 * width), nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1, bias=bias), norm(norm_kind, width), nn.ReLU(),
        nn.ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), nn.Tanh(),
    )  # fmt: skip
