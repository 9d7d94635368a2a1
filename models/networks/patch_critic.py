"""PatchGAN critics (Isola et al., CVPR 2017): a fully convolutional map of logits, one per overlapping patch."""

from __future__ import annotations

from torch import nn

from models.blocks.antialias import BlurDown
from models.blocks.norm import norm
from models.errors import ConfigError

# Receptive field in pixels → number of stride-2 layers.
FIELDS = {16: 1, 34: 2, 70: 3, 142: 4, 286: 5}


class PatchCritic(nn.Sequential):
    """(N, channels, H, W) → (N, 1, h, w) logits; H and W at least `least_size`, or a norm has a single value."""

    least_size: int = 1


def patch_critic(
    channels: int = 3, width: int = 64, field: int = 70, norm_kind: str = "instance", antialias: bool = False
) -> PatchCritic:
    """(N, channels, H, W) → (N, 1, h, w) logits; `field` is the side of the patch that one logit judges.

    4×4 convolutions width-2·width-4·width-8·width (capped) with LeakyReLU 0.2, no norm on the first layer; `field` 1 is
    the PixelGAN of 1×1 convolutions, 286 the ImageGAN. `antialias` replaces strides by blurred ones (CUT).
    """
    if field == 1:
        return _pixel_critic(channels, width, norm_kind)
    if field not in FIELDS:
        raise ConfigError(f"no PatchGAN has a field of {field} px; there are 1, {', '.join(map(str, FIELDS))}")
    stride = 1 if antialias else 2
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride, padding=1), nn.LeakyReLU(0.2)]
    layers += [BlurDown(width)] if antialias else []
    inner = width
    for depth in range(1, FIELDS[field] + 1):
        outer = min(8, 2**depth) * width
        last = depth == FIELDS[field]
        layers += _layer(inner, outer, 4, 1 if last else stride, norm_kind)
        layers += [BlurDown(outer)] if antialias and not last else []
        inner = outer
    critic = PatchCritic(*layers, nn.Conv2d(inner, 1, 4, stride=1, padding=1))
    critic.least_size = 3 << FIELDS[field]  # the last norm's map is one smaller than what the strides leave
    return critic


def _pixel_critic(channels: int, width: int, norm_kind: str) -> PatchCritic:
    return PatchCritic(
        nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2), *_layer(width, 2 * width, 1, 1, norm_kind),
        nn.Conv2d(2 * width, 1, 1),
    )  # fmt: skip


def _layer(inner: int, outer: int, kernel: int, stride: int, norm_kind: str) -> list[nn.Module]:
    # A bias in front of batch norm would be cancelled by its mean.
    bias = norm_kind != "batch"
    conv = nn.Conv2d(inner, outer, kernel, stride, padding=kernel // 2 - (kernel > 1), bias=bias)
    return [conv, norm(norm_kind, outer), nn.LeakyReLU(0.2)]
