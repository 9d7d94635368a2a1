"""Inception v3 as FID reads it: TensorFlow's graph of 2015-12-05 (Szegedy et al., "Rethinking the Inception
Architecture", 2016), which is not the network that torchvision trained.

Differs from the paper, as the graph does: average pools leave the padding out of their mean, the last block pools by
the maximum, and there are 1008 classes. Parameters are named as torchvision names them, so that the conversions fit
that pytorch-fid and torch-fidelity publish (*-inception-2015-12-05-6726825d.pth).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIMENSIONS = 2048
CLASSES = 1008
SIDE = 299  # px


class Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inner: int, outer: int, kernel: tuple[int, int], stride: int, padded: bool) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inner, outer, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outer, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Step(NamedTuple):
    """A convolution of a branch."""

    name: str
    channels: int
    height: int = 1  # of the kernel
    width: int = 1


class Branch(NamedTuple):
    """Convolutions one after the other, and those that the result then goes through side by side."""

    chain: tuple[Step, ...]
    fork: tuple[Step, ...] = ()


class Block(NamedTuple):
    """Branches side by side, and a pooled one."""

    branches: tuple[Branch, ...]
    pooled: int = 0  # channels behind the pool; 0 = the block halves its input, and the pool is all of its branch
    pool: str = "average"


def _chain(*steps: tuple[str, int] | tuple[str, int, int, int]) -> Branch:
    return Branch(tuple(Step(*step) for step in steps))


def _block_a(pooled: int) -> Block:
    return Block((
        _chain(("branch1x1", 64)),
        _chain(("branch5x5_1", 48), ("branch5x5_2", 64, 5, 5)),
        _chain(("branch3x3dbl_1", 64), ("branch3x3dbl_2", 96, 3, 3), ("branch3x3dbl_3", 96, 3, 3)),
    ), pooled)  # fmt: skip


def _block_c(inner: int) -> Block:
    return Block((
        _chain(("branch1x1", 192)),
        _chain(("branch7x7_1", inner), ("branch7x7_2", inner, 1, 7), ("branch7x7_3", 192, 7, 1)),
        _chain(("branch7x7dbl_1", inner), ("branch7x7dbl_2", inner, 7, 1), ("branch7x7dbl_3", inner, 1, 7),
               ("branch7x7dbl_4", inner, 7, 1), ("branch7x7dbl_5", 192, 1, 7)),
    ), 192)  # fmt: skip


def _block_e(pool: str) -> Block:
    return Block((
        _chain(("branch1x1", 320)),
        Branch((Step("branch3x3_1", 384),), (Step("branch3x3_2a", 384, 1, 3), Step("branch3x3_2b", 384, 3, 1))),
        Branch((Step("branch3x3dbl_1", 448), Step("branch3x3dbl_2", 384, 3, 3)),
               (Step("branch3x3dbl_3a", 384, 1, 3), Step("branch3x3dbl_3b", 384, 3, 1))),
    ), 192, pool)  # fmt: skip


_BLOCK_B = Block((
    _chain(("branch3x3", 384, 3, 3)),
    _chain(("branch3x3dbl_1", 64), ("branch3x3dbl_2", 96, 3, 3), ("branch3x3dbl_3", 96, 3, 3)),
))  # fmt: skip
_BLOCK_D = Block((
    _chain(("branch3x3_1", 192), ("branch3x3_2", 320, 3, 3)),
    _chain(("branch7x7x3_1", 192), ("branch7x7x3_2", 192, 1, 7), ("branch7x7x3_3", 192, 7, 1),
           ("branch7x7x3_4", 192, 3, 3)),
))  # fmt: skip
BLOCKS = {
    "Mixed_5b": _block_a(32), "Mixed_5c": _block_a(64), "Mixed_5d": _block_a(64), "Mixed_6a": _BLOCK_B,
    "Mixed_6b": _block_c(128), "Mixed_6c": _block_c(160), "Mixed_6d": _block_c(160), "Mixed_6e": _block_c(192),
    "Mixed_7a": _BLOCK_D, "Mixed_7b": _block_e("average"), "Mixed_7c": _block_e("maximum"),
}  # fmt: skip


class Mixed(nn.Module):
    """One block: (N, inner, H, W) → (N, self.channels, H, W), or half as high and wide."""

    def __init__(self, inner: int, block: Block) -> None:
        super().__init__()
        self.block, self.channels = block, block.pooled or inner
        for chain, fork in block.branches:
            width = inner
            for step in chain:
                halves = not block.pooled and step is chain[-1]
                self._add(width, step, 2 if halves else 1, padded=not halves)
                width = step.channels
            for step in fork:
                self._add(width, step, 1, padded=True)
            self.channels += sum(step.channels for step in fork) or width
        if block.pooled:
            self._add(inner, Step("branch_pool", block.pooled), 1, padded=True)

    def _add(self, inner: int, step: Step, stride: int, padded: bool) -> None:
        self.add_module(step.name, Conv(inner, step.channels, (step.height, step.width), stride, padded))

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for chain, fork in self.block.branches:
            y = self._through(chain, x)
            found += [self._through((step,), y) for step in fork] or [y]
        return torch.cat([*found, self._pooled(x)], dim=1)

    def _through(self, steps: Sequence[Step], x: Tensor) -> Tensor:
        for step in steps:
            x = self.get_submodule(step.name)(x)
        return x

    def _pooled(self, x: Tensor) -> Tensor:
        if not self.block.pooled:
            return F.max_pool2d(x, 3, 2)
        if self.block.pool == "maximum":
            return self._through((Step("branch_pool", 0),), F.max_pool2d(x, 3, 1, 1))
        return self._through((Step("branch_pool", 0),), F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))


class Inception(nn.Module):
    """(N, 3, 299, 299) RGB, (level - 128) / 128 → features (N, 2048) and logits (N, 1008).

    The logits leave the bias out, as the Inception score's authors do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, (3, 3), 2, padded=False)
        self.Conv2d_2a_3x3 = Conv(32, 32, (3, 3), 1, padded=False)
        self.Conv2d_2b_3x3 = Conv(32, 64, (3, 3), 1, padded=True)
        self.Conv2d_3b_1x1 = Conv(64, 80, (1, 1), 1, padded=False)
        self.Conv2d_4a_3x3 = Conv(80, 192, (3, 3), 1, padded=False)
        channels = 192
        for name, block in BLOCKS.items():
            mixed = Mixed(channels, block)
            self.add_module(name, mixed)
            channels = mixed.channels
        self.fc = nn.Linear(channels, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name in BLOCKS:
            x = self.get_submodule(name)(x)
        features = x.mean(dim=(2, 3))
        return features, F.linear(features, self.fc.weight)
