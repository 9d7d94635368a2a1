"""A compact generator whose channels can be closed, and the smaller one that is left when they are.

The trunk's channels run through all blocks, so they close together; the channels inside a block close by themselves.
Slicing a supernet, pruning at a threshold and learned masks all come down to which gates are open. A closed channel is
multiplied by zero while training, and is not there any more in `Slimmed`, whose weights are the open rows and columns
of the gated one's: expressions of its parameters, which export turns into constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.branched_conv import BranchedConv
from models.compress.student import StudentConfig
from models.errors import ConfigError
from models.networks.compact import SCALE, SLOPE, CompactBlock, CompactGenerator

HALVINGS = 40  # of the interval in which a threshold lies


class Gate(nn.Module):
    """x times `open` (0 or 1) and, where it is scaled, times a learned strength per channel. (N, C, H, W) → same."""

    open: Tensor

    def __init__(self, channels: int, scaled: bool = False) -> None:
        super().__init__()
        self.register_buffer("open", torch.ones(channels))
        self.strength = nn.Parameter(torch.ones(channels)) if scaled else None
        self.instead: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.values() if self.instead is None else self.instead).view(1, -1, 1, 1)

    def values(self) -> Tensor:
        """What each channel is multiplied with: (C,)."""
        return self.open if self.strength is None else self.open * self.strength

    def kept(self) -> list[int]:
        """The open channels; all of them where there are no values to read (the meta device)."""
        if self.open.is_meta:
            return list(range(len(self.open)))
        return [index for index, value in enumerate(self.open.tolist()) if value]


class GatedGenerator(CompactGenerator):
    """A compact generator with a gate for its trunk and one inside each block; `scaled` ones inside have strengths.

    Raises:
        ConfigError: the settings ask for a stage at 1/8 resolution, which has no gates.
    """

    def __init__(self, cfg: StudentConfig, scaled: bool = False) -> None:
        if cfg.generator != "compact" or cfg.deep_blocks:
            raise ConfigError('channels are closed in students of generator = "compact" without deep_blocks')
        super().__init__(
            cfg.channels, cfg.channels, width=cfg.width, blocks=cfg.blocks, norm_kind=cfg.norm, skip=cfg.skip,
            skip_pool=cfg.skip_pool, skip_clip=cfg.skip_clip, branched=cfg.branched, tone_norm=cfg.tone_norm,
        )  # fmt: skip
        self.trunk_gate = Gate(cfg.width)
        for block in self.blocks():
            block.body[2] = nn.Sequential(block.body[2], Gate(cfg.width, scaled))

    def blocks(self) -> list[CompactBlock]:
        """The residual blocks, in order."""
        return [block for block in self.body if isinstance(block, CompactBlock)]

    def gates(self) -> list[Gate]:
        """The trunk's gate, then the blocks'."""
        inside = (module for block in self.blocks() for module in block.modules())
        return [self.trunk_gate, *(module for module in inside if isinstance(module, Gate))]

    def trunk(self, x: Tensor) -> Tensor:
        x = self.trunk_gate(self.stem(x))
        for layer in self.body:
            x = self.trunk_gate(layer(x))
        return x

    @contextmanager
    def set_to(self, values: Sequence[Tensor]) -> Iterator[None]:
        """Within the block the gates let these shares through instead of their own."""
        gates = self.gates()
        for gate, value in zip(gates, values, strict=True):
            gate.instead = value
        try:
            yield
        finally:
            for gate in gates:
                gate.instead = None

    @torch.no_grad()
    def keep(self, masks: Sequence[Tensor]) -> None:
        """Open the channels where a mask holds, and close the others, for good."""
        for gate, mask in zip(self.gates(), masks, strict=True):
            gate.open.copy_(mask)

    def widths(self) -> list[int]:
        """How many channels are open: of the trunk, of each block."""
        return [int(gate.open.sum()) for gate in self.gates()]

    def gmac(self, widths: Sequence[int], size: int = 256) -> float:
        """Exact GMAC at size² of a generator with so many channels."""
        trunk, inside = widths[0], sum(widths[1:])
        stem, head = self.stem[0], self.head[0]
        assert isinstance(stem, nn.Conv2d)
        assert isinstance(head, nn.Conv2d)
        per_cell = SCALE**2 * stem.in_channels * trunk + 2 * 9 * trunk * inside + 9 * trunk * head.out_channels
        return per_cell * (size // SCALE) ** 2 / 1e9


class Slimmed(nn.Module):
    """What a gated generator computes when evaluated, without its closed channels. (N, C, H, W) → same."""

    def __init__(self, gated: GatedGenerator) -> None:
        super().__init__()
        self.gated = gated
        self.kept = [torch.tensor(gate.kept()) for gate in gated.gates()]

    def forward(self, x: Tensor) -> Tensor:
        gated, trunk = self.gated, self.kept[0]
        conv = gated.stem[0]
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        y = F.conv2d(x, conv.weight[trunk], conv.bias[trunk], stride=SCALE)
        y = F.leaky_relu(_normed(gated.stem[1], y, trunk), SLOPE)
        inner = iter(self.kept[1:])
        for layer in gated.body:
            y = self._block(layer, y, next(inner)) if isinstance(layer, CompactBlock) else _normed(layer, y, trunk)
        head = gated.head[0]
        assert isinstance(head, nn.Conv2d)
        return gated.picture(x, F.conv2d(y, head.weight[:, trunk], head.bias, padding=1))

    def _block(self, block: CompactBlock, x: Tensor, inner: Tensor) -> Tensor:
        trunk = self.kept[0]
        first, norm_1, activation, second, norm_2 = block.body
        assert isinstance(activation, nn.Sequential)
        gate = activation[1]
        assert isinstance(gate, Gate)
        weight, bias = _kernel(first)
        y = F.conv2d(x, weight[inner][:, trunk], bias[inner], padding=1)
        y = F.leaky_relu(_normed(norm_1, y, inner), SLOPE)
        weight, bias = _kernel(second)
        weight = weight[trunk][:, inner] * gate.values()[inner].view(1, -1, 1, 1)
        return x + _normed(norm_2, F.conv2d(y, weight, bias[trunk], padding=1), trunk)


def _kernel(conv: nn.Module) -> tuple[Tensor, Tensor]:
    if isinstance(conv, BranchedConv):
        return conv.folded()
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    return conv.weight, conv.bias


def _normed(norm: nn.Module, x: Tensor, kept: Tensor) -> Tensor:
    """A norm's layer applied to what is left of its channels; an identity and activations do nothing here."""
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        return F.batch_norm(
            x, norm.running_mean[kept], norm.running_var[kept], norm.weight[kept], norm.bias[kept], eps=norm.eps
        )
    if isinstance(norm, nn.InstanceNorm2d):
        affine = (norm.weight[kept], norm.bias[kept]) if norm.affine else (None, None)
        return F.instance_norm(x, weight=affine[0], bias=affine[1], eps=norm.eps)
    if isinstance(norm, (nn.Identity, nn.LeakyReLU)):
        return x
    raise ConfigError(f"channels of {type(norm).__name__} cannot be left out: take batch, instance or no norm")


def strongest(strengths: Sequence[Tensor], threshold: float, step: int = 8) -> list[Tensor]:
    """Masks of the channels whose strength reaches the threshold; their number is rounded up to a multiple of `step`,
    so that no layer is closed and none has an odd width."""
    masks = []
    for strength in strengths:
        count = int((strength.abs() >= threshold).sum())
        count = min(len(strength), max(step, -(-count // step) * step))
        mask = torch.zeros_like(strength)
        mask[strength.abs().topk(count).indices] = 1
        masks.append(mask)
    return masks


def lowest_threshold(highest: float, fits: Callable[[float], bool]) -> float:
    """The lowest threshold from 0 to beyond `highest` that fits, by bisection; fitting must not end as it rises."""
    low, high = 0.0, highest * 1.001 + 1e-6
    if fits(low):
        return low
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
