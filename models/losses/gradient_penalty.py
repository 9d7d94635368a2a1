"""Penalties on a critic's gradient with respect to its images. Both are differentiable in the critic's weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def _gradients(logits: Tensor, images: Tensor) -> Tensor:
    """∂ Σ logits / ∂ images, of their shape."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.float()


def r1(logits: Tensor, real: Tensor) -> Tensor:
    """½ E ‖∇D(x)‖² on real images that require gradients (Mescheder et al., ICML 2018)."""
    return 0.5 * _gradients(logits, real).flatten(1).square().sum(dim=1).mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """E (‖∇D(x̂)‖₂ - 1)², x̂ between real and fake, one ε per sample (Gulrajani et al., NIPS 2017).

    Two-sided; in full precision whatever the rest of the training runs in.
    """
    return _off_one(_gradients_between(critic, real, fake).flatten(1))


def pixel_gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """The same with each pixel's gradient, a vector over the channels, held at one (Shaham et al., ICCV 2019)."""
    return _off_one(_gradients_between(critic, real, fake))


def _gradients_between(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = torch.lerp(fake.float(), real.float(), share).detach().requires_grad_()
    with torch.autocast(real.device.type, enabled=False):
        return _gradients(critic(between), between)


def _off_one(gradients: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(gradients, dim=1)
    return (lengths - 1).square().mean()
