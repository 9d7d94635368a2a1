"""Terms that keep a critic from memorising few images; all act on its logits, of any shape, batch first."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def lecam(real: Tensor, fake: Tensor, anchor_real: Tensor, anchor_fake: Tensor) -> Tensor:
    """Mean relu(D(x) - a_fake)² + mean relu(a_real - D(G))²: logits may not stray beyond the other side's average.

    The anchors are running means of the logits, without gradients (Tseng et al., CVPR 2021, and the authors' code,
    which has the relu).
    """
    return F.relu(real - anchor_fake).square().mean() + F.relu(anchor_real - fake).square().mean()


def consistency(logits: Tensor, again: Tensor) -> Tensor:
    """Mean (D(x) - D(T(x)))² (Zhang et al., "Consistency Regularization for GANs", ICLR 2020)."""
    return (logits - again).square().mean()
