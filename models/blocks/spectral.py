"""Convolutions of critics whose Lipschitz constant is held at one (Miyato et al., ICLR 2018)."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


def spectral_conv(inner: int, outer: int, stride: int, bias: bool = True, act: bool = True) -> list[nn.Module]:
    """4×4 convolution with a reflected edge of 1 and spectral norm, LeakyReLU behind it with `act`."""
    conv = spectral_norm(nn.Conv2d(inner, outer, 4, stride, bias=bias))
    return [nn.ReflectionPad2d(1), conv, *([nn.LeakyReLU(SLOPE)] if act else [])]
