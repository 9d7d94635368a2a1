"""The compact generator: made for INT8, after measurements of what integer convolutions do fast.

Dense 3×3 convolutions at 1/4 (and optionally 1/8) resolution, a single 4×4 stride-4 stem and a PixelShuffle head: the
blocks with the most parameters per millisecond in INT8, where depthwise convolutions lose their advantage.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.init import init_kaiming
from models.blocks.norm import norm
from models.errors import ConfigError

SLOPE = 0.2  # of LeakyReLU, free in every INT8 backend
SCALE = 4  # of the stem's stride and the head's sub-pixels


class CompactBlock(nn.Module):
    """x + conv(act(conv(x))), zero padding. (N, C, H, W) → same. Starts as the identity when there is no norm."""

    def __init__(self, channels: int, norm_kind: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), norm(norm_kind, channels), nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1), norm(norm_kind, channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y


class CompactGenerator(nn.Module):
    """(N, channels_in, H, W) → (N, channels_out, H, W); H and W multiples of 4, or of 8 when `deep_blocks` > 0.

    `skip` adds the input, scaled and shifted per channel, to the output, so that the body learns a residual: for
    restoration, where the picture stays itself. With `skip_pool` = 4 the input is averaged over 4×4 pixels first and
    enlarged again: the body then adds the detail of a noisy picture, which is easier than to take its noise away.
    Without `skip` the output ends in tanh.

    Raises:
        ConfigError: `skip_pool` is not 1 or 4.
    """

    def __init__(
        self, channels_in: int = 3, channels_out: int = 3, *, width: int = 64, blocks: int = 6,
        deep_width: int = 0, deep_blocks: int = 0, norm_kind: str = "none", skip: bool = False,
        skip_pool: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        if skip_pool not in (1, SCALE):
            raise ConfigError(f"skip_pool = {skip_pool}: the skip takes the input (1) or its means ({SCALE})")
        self.skip, self.skip_pool = skip, skip_pool
        if skip:
            self.gain = nn.Parameter(torch.ones(1, channels_out, 1, 1))
            self.offset = nn.Parameter(torch.zeros(1, channels_out, 1, 1))
            self.enlarge = BilinearShuffle(channels_out) if skip_pool > 1 else nn.Identity()
        self.stem = nn.Sequential(nn.Conv2d(channels_in, width, SCALE, stride=SCALE), nn.LeakyReLU(SLOPE))
        half = blocks // 2 if deep_blocks else blocks
        body: list[nn.Module] = [CompactBlock(width, norm_kind) for _ in range(half)]
        if deep_blocks:
            body += [_deep_stage(width, deep_width or 2 * width, deep_blocks, norm_kind)]
            body += [CompactBlock(width, norm_kind) for _ in range(blocks - half)]
        self.body = nn.Sequential(*body)
        self.head = nn.Sequential(nn.Conv2d(width, channels_out * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE))
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:
        conv, shuffle = self.head
        y: Tensor = conv(self.body(self.stem(x)))
        if not self.skip:
            picture: Tensor = shuffle(torch.tanh(y))
            return picture
        # The residual is bounded, to what turns black into white, because two unbounded generators can run away.
        residual, base = 2 * torch.tanh(y / 2), self.pooled(x) * self.gain + self.offset
        # Sub-pixels are added while they are channels: the picture is shuffled once.
        picture = base + shuffle(residual) if self.skip_pool == 1 else shuffle(self.enlarge(base) + residual)
        return picture

    def pooled(self, x: Tensor) -> Tensor:
        """What the skip scales and shifts: the input, or its means. (N, C, H, W) → same, or (N, C, H/4, W/4)."""
        return x if self.skip_pool == 1 else F.avg_pool2d(x, self.skip_pool)

    @torch.no_grad()
    def match_domains(self, source: Tensor, target: Tensor) -> None:
        """Start the skip at the map that gives `source` the channel means and deviations of `target`.

        Both (N, C, H, W), unpaired. Reinhard et al., "Color transfer between images", 2001, without their colour space.
        """
        axes, source = (0, 2, 3), self.pooled(source)
        gain = target.std(axes, keepdim=True) / source.std(axes, keepdim=True).clamp_min(1e-3)
        self.gain.copy_(gain)
        self.offset.copy_(target.mean(axes, keepdim=True) - gain * source.mean(axes, keepdim=True))

    def _initialise(self) -> None:
        init_kaiming(self, SLOPE)
        for module in self.modules():
            if isinstance(module, CompactBlock):
                last = module.body[3]
                assert isinstance(last, nn.Conv2d)
                last.weight.data.mul_(0.1)
        head = self.head[0]
        assert isinstance(head, nn.Conv2d)
        icnr(head, SCALE)
        head.weight.data.mul_(0.1)


class BilinearShuffle(nn.Module):
    """Bilinear enlargement by SCALE, as a 3×3 convolution that leaves the sub-pixels to a PixelShuffle.

    (N, C, h, w) → (N, 16 C, h, w); shuffled, what `interpolate(mode="bilinear")` gives. A resize costs more than all of
    a small network's 3×3 convolutions at 1/4 resolution, and this leaves none.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The weights of pixels i - 1, i and i + 1 in each of the sub-pixels of i, whose centres lie at `at`.
        at = (torch.arange(SCALE) + 0.5) / SCALE - 0.5
        line = torch.stack([(-at).clamp_min(0), 1 - at.abs(), at.clamp_min(0)], 1)
        # Dense, with zeros between the channels: as fast as grouped, and fewer kernels in a plan.
        kernel = torch.einsum("cd,ai,bj->cabdij", torch.eye(channels), line, line)
        self.register_buffer("kernel", kernel.reshape(channels * SCALE**2, channels, 3, 3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), self.kernel)


def _deep_stage(width: int, deep_width: int, blocks: int, norm_kind: str) -> nn.Module:
    """1/4 → 1/8 → 1/4 resolution around `blocks` residual blocks."""
    up = nn.Conv2d(deep_width, 4 * width, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(width, deep_width, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE),
        *(CompactBlock(deep_width, norm_kind) for _ in range(blocks)),
        up, nn.PixelShuffle(2), nn.LeakyReLU(SLOPE),
    )  # fmt: skip


def icnr(conv: nn.Conv2d, scale: int) -> None:
    """Make the scale² sub-pixels of each output start equal, so that PixelShuffle starts without a checkerboard.

    Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017.
    """
    with torch.no_grad():
        kernels = conv.weight[:: scale**2]
        conv.weight.copy_(kernels.repeat_interleave(scale**2, dim=0))
