"""Mode seeking: two noises must give two pictures, the further apart the better."""

from __future__ import annotations

from torch import Tensor

EPS = 1e-5


def mode_seeking(first: Tensor, second: Tensor, z_first: Tensor, z_second: Tensor) -> Tensor:
    """1 / (mean |first - second| / mean |z_first - z_second| + ε), at most 10⁵ (Mao et al., CVPR 2019).

    `first`, `second`: pictures (N, …) of the same conditions under the noises (N, D). The means run over the whole
    batch: a ratio of means. Gradients reach both pictures. In full precision whatever the training runs in, since the
    inverse of a small number is beyond half precision.
    """
    apart = (first.float() - second.float()).abs().mean()
    asked = (z_first.float() - z_second.float()).abs().mean()
    return 1 / (apart / asked + EPS)
