"""A 3×3 convolution that is trained as three branches and ships as one.

Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021. A 3×3, a 1×1 and, where shapes allow, the
identity stand side by side; all three are linear, so their sum is one 3×3 convolution. With batch norm each branch has
its own, which folds into it once its statistics are fixed. Instance norm cannot be folded: it goes behind the sum.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

M = TypeVar("M", bound=nn.Module)


class BranchedConv(nn.Module):
    """(N, inner, H, W) → (N, outer, H/stride, W/stride), zero edges; evaluated, it is the folded convolution.

    Without batch norm the branches are folded in training too: the same function and gradients at a third of the cost.
    """

    def __init__(self, inner: int, outer: int, stride: int = 1, batch_norm: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.square = nn.Conv2d(inner, outer, 3, stride, 1, bias=not batch_norm)
        self.point = nn.Conv2d(inner, outer, 1, stride, bias=False)
        self.has_identity = inner == outer and stride == 1
        count = 2 + self.has_identity
        self.norms = nn.ModuleList(nn.BatchNorm2d(outer) for _ in range(count if batch_norm else 0))
        if self.has_identity and not batch_norm:
            self.gain = nn.Parameter(torch.ones(outer))
        self.balance()

    @torch.no_grad()
    def balance(self) -> None:
        """Give each branch an equal share of the output's variance."""
        share = (2 + self.has_identity) ** -0.5
        for conv in (self.square, self.point):
            nn.init.kaiming_normal_(conv.weight, 0.2)
            if not self.norms:
                conv.weight.mul_(share)
        if self.has_identity and not self.norms:
            self.gain.fill_(share)
        for norm in self.norms:
            nn.init.constant_(norm.weight, share)  # type: ignore[arg-type]

    @torch.no_grad()
    def shrink(self, factor: float) -> None:
        """Scale the output."""
        scaled = [norm.weight for norm in self.norms] or [self.square.weight, self.point.weight]
        scaled += [self.gain] if self.has_identity and not self.norms else []
        for weight in scaled:
            weight.mul_(factor)  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.norms:
            return self.branches(x)
        return F.conv2d(x, *self.folded(), stride=self.stride, padding=1)

    def branches(self, x: Tensor) -> Tensor:
        """The sum of the branches as they were drawn."""
        parts = [self.square(x), self.point(x)] + ([x] if self.has_identity else [])
        if self.norms:
            parts = [norm(part) for norm, part in zip(self.norms, parts, strict=True)]
        elif self.has_identity:
            parts[2] = x * self.gain.view(1, -1, 1, 1)
        total: Tensor = sum(parts[1:], parts[0])
        return total

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight (outer, inner, 3, 3) and bias (outer,) of the one convolution that equals the branches."""
        kernels = [self.square.weight, F.pad(self.point.weight, (1, 1, 1, 1))]
        if self.has_identity:
            one = torch.eye(len(self.square.weight), device=self.square.weight.device)
            kernels.append(F.pad(one[:, :, None, None], (1, 1, 1, 1)))
        if not self.norms:
            if self.has_identity:
                kernels[2] = kernels[2] * self.gain.view(-1, 1, 1, 1)
            assert self.square.bias is not None
            return sum(kernels[1:], kernels[0]), self.square.bias
        scales, shifts = zip(*(_affine(norm) for norm in self.norms), strict=True)
        weighted = [kernel * scale.view(-1, 1, 1, 1) for kernel, scale in zip(kernels, scales, strict=True)]
        return sum(weighted[1:], weighted[0]), sum(shifts[1:], shifts[0])


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """What a batch norm with fixed statistics does to each channel: scale and shift."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def fold_branches(network: M) -> M:
    """A copy in eval mode with a plain convolution for every branched one: what ships, and what QAT starts from."""
    folded = copy.deepcopy(network).eval()
    for parent in list(folded.modules()):
        for name, child in parent.named_children():
            if isinstance(child, BranchedConv):
                setattr(parent, name, _plain(child))
    return folded


@torch.no_grad()
def _plain(branched: BranchedConv) -> nn.Conv2d:
    weight, bias = branched.folded()
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, branched.stride, 1).to(weight.device)
    conv.weight.copy_(weight)
    conv.bias.copy_(bias)  # type: ignore[union-attr]
    return conv.eval()
