"""The compact generator: made for INT8, after measurements of what integer convolutions do fast.

Dense 3×3 convolutions at 1/4 (and optionally 1/8) resolution, a single 4×4 stride-4 stem and a PixelShuffle head: the
blocks with the most parameters per millisecond in INT8, where depthwise convolutions lose their advantage.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.branched_conv import BranchedConv
from models.blocks.init import init_kaiming
from models.blocks.norm import norm
from models.errors import ConfigError

SLOPE = 0.2  # of LeakyReLU, free in every INT8 backend
SCALE = 4  # of the stem's stride and the head's sub-pixels


class CompactBlock(nn.Module):
    """x + conv(act(conv(x))), zero padding. (N, C, H, W) → same. Starts near the identity when there is no norm."""

    def __init__(self, channels: int, norm_kind: str, branched: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_normed_conv(channels, norm_kind, branched), nn.LeakyReLU(SLOPE),
            *_normed_conv(channels, norm_kind, branched),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y


def _normed_conv(channels: int, norm_kind: str, branched: bool) -> list[nn.Module]:
    """A 3×3 convolution and its norm; in branches, batch norm is part of them."""
    if not branched:
        return [nn.Conv2d(channels, channels, 3, padding=1), norm(norm_kind, channels)]
    inside = norm_kind == "batch"
    return [BranchedConv(channels, channels, batch_norm=inside), norm("none" if inside else norm_kind, channels)]


class CompactGenerator(nn.Module):
    """(N, channels_in, H, W) → (N, channels_out, H, W); H and W multiples of 4, or of 8 when `deep_blocks` > 0.

    `skip` adds the input, scaled and shifted per channel, to the output, so that the body learns a residual: for
    restoration, where the picture stays itself. With `skip_pool` = 4 the input is averaged over 4×4 pixels first and
    enlarged again: the body then adds the detail of a noisy picture, which is easier than to take its noise away.
    The residual is bounded, to what turns black into white, because two unbounded generators can run away: by tanh,
    or with `skip_clip` by a clip, for students, whose teacher holds them. On a CPU with AVX2 tanh took 7 % of a small
    INT8 engine's time, a clip none. Without `skip` the output ends in tanh.

    `branched` trains every 3×3 of the residual blocks as three branches that fold into one (models/blocks/
    branched_conv.py). `tone_norm` puts an instance norm behind the stem and one before the head, and nowhere else: what
    the student of a teacher full of instance norms needs to know of the whole picture, at a tenth of their cost.
    `stem_kernel` 8 lets the stem's patches overlap; `head_kernel` 5 lets neighbouring blocks of sub-pixels see more of
    each other.

    Raises:
        ConfigError: `skip_pool` is not 1 or 4, the stem's kernel odd or below 4, or the head's even.
    """

    def __init__(
        self, channels_in: int = 3, channels_out: int = 3, *, width: int = 64, blocks: int = 6,
        deep_width: int = 0, deep_blocks: int = 0, norm_kind: str = "none", skip: bool = False,
        skip_pool: int = 1, skip_clip: bool = False, branched: bool = False, tone_norm: bool = False,
        stem_kernel: int = SCALE, head_kernel: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        if skip_pool not in (1, SCALE):
            raise ConfigError(f"skip_pool = {skip_pool}: the skip takes the input (1) or its means ({SCALE})")
        if stem_kernel < SCALE or stem_kernel % 2 or head_kernel < 1 or not head_kernel % 2:
            raise ConfigError(
                f"stem_kernel = {stem_kernel}, head_kernel = {head_kernel}: the stem's is even and at least {SCALE}, "
                "the head's is odd"
            )
        self.skip, self.skip_pool, self.skip_clip = skip, skip_pool, skip_clip
        if skip:
            self.gain = nn.Parameter(torch.ones(1, channels_out, 1, 1))
            self.offset = nn.Parameter(torch.zeros(1, channels_out, 1, 1))
            self.enlarge = BilinearShuffle(channels_out) if skip_pool > 1 else nn.Identity()
        tone = [nn.InstanceNorm2d(width, affine=True)] if tone_norm else []
        stem = nn.Conv2d(channels_in, width, stem_kernel, SCALE, padding=(stem_kernel - SCALE) // 2)
        self.stem = nn.Sequential(stem, *tone, nn.LeakyReLU(SLOPE))
        half = blocks // 2 if deep_blocks else blocks
        body: list[nn.Module] = [CompactBlock(width, norm_kind, branched) for _ in range(half)]
        if deep_blocks:
            deep = [CompactBlock(deep_width or 2 * width, norm_kind, branched) for _ in range(deep_blocks)]
            body += [_deep_stage(width, deep_width or 2 * width, deep)]
            body += [CompactBlock(width, norm_kind, branched) for _ in range(blocks - half)]
        body += [nn.InstanceNorm2d(width, affine=True)] if tone_norm else []
        self.body = nn.Sequential(*body)
        head = nn.Conv2d(width, channels_out * SCALE**2, head_kernel, padding=head_kernel // 2)
        self.head = nn.Sequential(head, nn.PixelShuffle(SCALE))
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:
        return self.picture(x, self.head[0](self.trunk(x)))

    def picture(self, x: Tensor, y: Tensor) -> Tensor:
        """The output for an input and what the head's convolution gave. (N, C, H, W), (N, 16 C, H/4, W/4)."""
        shuffle = self.head[1]
        if not self.skip:
            bounded: Tensor = shuffle(torch.tanh(y))
            return bounded
        residual = y.clamp(-2, 2) if self.skip_clip else 2 * torch.tanh(y / 2)
        base = self.pooled(x) * self.gain + self.offset
        # Sub-pixels are added while they are channels: the picture is shuffled once.
        picture: Tensor = base + shuffle(residual) if self.skip_pool == 1 else shuffle(self.enlarge(base) + residual)
        return picture

    def trunk(self, x: Tensor) -> Tensor:
        """What the head makes a picture of. (N, C, H, W) → (N, width, H/4, W/4)."""
        features: Tensor = self.body(self.stem(x))
        return features

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
            if isinstance(module, BranchedConv):
                module.balance()
        for module in self.modules():
            if isinstance(module, CompactBlock):
                _shrink(module.body[3], 0.1)
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


def _shrink(conv: nn.Module, factor: float) -> None:
    if isinstance(conv, BranchedConv):
        conv.shrink(factor)
    else:
        assert isinstance(conv, nn.Conv2d)
        conv.weight.data.mul_(factor)


def _deep_stage(width: int, deep_width: int, blocks: list[CompactBlock]) -> nn.Module:
    """1/4 → 1/8 → 1/4 resolution around residual blocks of `deep_width`."""
    up = nn.Conv2d(deep_width, 4 * width, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(width, deep_width, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE),
        *blocks, up, nn.PixelShuffle(2), nn.LeakyReLU(SLOPE),
    )  # fmt: skip


def icnr(conv: nn.Conv2d, scale: int) -> None:
    """Make the scale² sub-pixels of each output start equal, so that PixelShuffle starts without a checkerboard.

    Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017.
    """
    with torch.no_grad():
        kernels = conv.weight[:: scale**2]
        conv.weight.copy_(kernels.repeat_interleave(scale**2, dim=0))
