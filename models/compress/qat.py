"""Quantisation-aware training: a generator that rounds in training exactly as its INT8 engine will.

While it is active, the generator runs as it ships (eval mode: running statistics, no dropout, folded branches) with its
weights and activations rounded where and as the Q/DQ nodes of `calibration/int8.py` round them: int8 per tensor for
activations, 7 or 8 bits per output channel for weights, half to even. Gradients pass the rounding unchanged
(straight-through: Bengio et al., 2013); the ranges of activations are learnt with the weights (LSQ: Esser et al.,
"Learned Step Size Quantization", ICLR 2020, here as logarithms, so that a step is a share of the range).

    quantiser = attach(generator, (example,), Placement())   # before the optimiser is made
    quantiser.start()                                         # when the last phase begins
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models.compress.placement import ADDITIONS, CONVOLUTIONS, Placement, Plan, Site, plan_rounding

NAME = "fake_quant"  # of the child module that a generator gets
OBSERVED = 32  # forward passes that the first ranges are measured on
LEVELS = 127
WEIGHT_LEVELS = {7: 64, 8: LEVELS}  # the largest code by bits
_SEEN = 1 << 13  # activations of a tensor that a range is chosen by
_SHARES = 40  # candidate ranges
_GROUPS = 6  # position of `groups` among the arguments of both kinds of convolution


class FakeQuant(nn.Module):
    """The ranges of a generator's rounded activations, and what makes its forward pass round.

    Off until `start()`; then it observes OBSERVED passes in training and starts every range where rounding and clipping
    lose least; from there on it rounds.
    """

    observed: Tensor

    def __init__(self, generator: nn.Module, plan: Plan, placement: Placement) -> None:
        super().__init__()
        self.plan, self.placement, self.started = plan, placement, False
        self.log_ranges = nn.Parameter(torch.zeros(plan.tensors), requires_grad=False)
        self.register_buffer("observed", torch.zeros((), dtype=torch.int64))
        self._parent = [generator]  # in a list: it is not a child
        self._within: list[tuple[TorchFunctionMode, dict[nn.Module, bool]]] = []
        generator.register_forward_pre_hook(self._enter)
        generator.register_forward_hook(self._leave, always_call=True)

    def forward(self, x: Tensor) -> Tensor:
        """The identity: a generator that is a Sequential calls its children in turn."""
        return x

    def start(self) -> None:
        """Observe, then round, from the next forward pass on."""
        self.started = True
        self.log_ranges.requires_grad_(self.rounds)

    @torch.no_grad()
    def adopt(self, ranges: Sequence[float]) -> None:
        """Round from now on, with these ranges."""
        self.log_ranges.copy_(torch.tensor(ranges).log())
        self.observed.fill_(OBSERVED)
        self.start()

    @property
    def rounds(self) -> bool:
        """Whether the generator rounds by now."""
        return self.started and int(self.observed) >= OBSERVED

    @property
    def ranges(self) -> list[float]:
        """The range of every rounded activation."""
        return [float(value) for value in self.log_ranges.detach().exp()]

    def scale(self, index: int) -> Tensor:
        """The step of an activation."""
        return self.log_ranges[index].exp() / LEVELS

    @torch.no_grad()
    def observe(self, index: int, x: Tensor) -> None:
        """Take the best range for `x` into the (geometric) mean over the observed passes."""
        best = best_range(x).log()
        self.log_ranges[index] += (best - self.log_ranges[index]) / (int(self.observed) + 1)

    @property
    def generator(self) -> nn.Module:
        """The network that rounds."""
        return self._parent[0]

    def norm(self, name: str) -> nn.BatchNorm2d:
        """A batch norm of the generator."""
        found = self.generator.get_submodule(name)
        assert isinstance(found, nn.BatchNorm2d)
        return found

    def _enter(self, generator: nn.Module, _: Any) -> None:
        if not self.started or not (self.rounds or generator.training):
            return
        modes = {module: module.training for module in generator.modules()}
        mode = _Rounding(self)
        generator.eval()
        self._within.append((mode, modes))
        mode.__enter__()  # type: ignore[no-untyped-call]

    def _leave(self, *_: Any) -> None:
        if not self._within:
            return
        mode, modes = self._within.pop()
        mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        for module, training in modes.items():
            module.training = training
        if not self.rounds:
            self.observed += 1
            self.log_ranges.requires_grad_(self.rounds)


class _Rounding(TorchFunctionMode):
    """Rounds the operands of planned calls within one forward pass, or observes them."""

    def __init__(self, quantiser: FakeQuant) -> None:
        super().__init__()
        self.quantiser, self.counted = quantiser, 0
        self.done: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # a tensor is rounded once, however many read it

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in CONVOLUTIONS + ADDITIONS:
            site = self.quantiser.plan.sites.get(self.counted)
            self.counted += 1
            if site:
                count = len(site.ranges)
                operands = [self._rounded(x, k) for x, k in zip(args[:count], site.ranges, strict=True)]
                rest = list(args[count:])
                if site.kind in CONVOLUTIONS and self.quantiser.rounds:
                    groups = kwargs.get("groups", args[_GROUPS] if len(args) > _GROUPS else 1)
                    rest[0] = self._weight(rest[0], site, groups)
                args = (*operands, *rest)
        return func(*args, **kwargs)

    def _rounded(self, x: Tensor, index: int) -> Tensor:
        key = (id(x), index)
        if key not in self.done:
            if self.quantiser.rounds:
                result = fake_round(x, self.quantiser.scale(index))
            else:
                self.quantiser.observe(index, x)
                result = x
            self.done[key] = (x, result)  # x too: its id must not come again
        return self.done[key][1]

    def _weight(self, weight: Tensor, site: Site, groups: int) -> Tensor:
        axis = 0 if site.kind == "conv2d" else (1 if groups == 1 else -1)
        bits = self.quantiser.placement.weight_bits
        if not site.norm:
            return fake_round_weight(weight, axis, bits)
        # Export folds a batch norm into the weight before that is rounded.
        layer = self.quantiser.norm(site.norm)
        assert layer.running_var is not None
        gain = 1.0 if layer.weight is None else layer.weight
        factor = gain / torch.sqrt(layer.running_var + layer.eps)
        shape = [1] * weight.ndim
        shape[max(axis, 0)] = -1
        factor = factor.reshape(shape)
        safe = torch.where(factor == 0, torch.ones_like(factor), factor)
        return fake_round_weight(weight * safe, axis, bits) / safe


def attach(generator: nn.Module, inputs: Sequence[Tensor], placement: Placement) -> FakeQuant:
    """Give `generator` a child that makes it round once it is started; `inputs` are an example of what it takes."""
    quantiser = FakeQuant(generator, plan_rounding(generator, inputs, placement), placement)
    generator.add_module(NAME, quantiser)
    return quantiser


def fake_round(x: Tensor, scale: Tensor) -> Tensor:
    """`x` through QuantizeLinear and DequantizeLinear: int8, zero point 0. Gradients: straight through for x, LSQ for
    the scale."""
    codes = torch.clamp(x / scale, -LEVELS - 1, LEVELS)
    return (codes + (codes.round() - codes).detach()) * scale


def fake_round_weight(weight: Tensor, axis: int, bits: int) -> Tensor:
    """`weight` as `calibration.int8.quantised_weight` rounds it: one step per index of `axis`, or one for axis -1."""
    levels = WEIGHT_LEVELS[bits]
    others = [k for k in range(weight.ndim) if k != axis] if axis >= 0 else list(range(weight.ndim))
    largest = weight.detach().abs().amax(dim=others, keepdim=True)
    steps = torch.where(largest > 0, largest / levels, torch.ones_like(largest))
    rounded = (weight.detach() / steps).round().clamp(-levels, levels) * steps
    return weight + (rounded - weight).detach()


@torch.no_grad()
def best_range(x: Tensor) -> Tensor:
    """The range whose rounding and clipping errors on `x` have the least sum of squares."""
    values = x.detach().flatten()
    values = values[:: max(1, values.numel() // _SEEN)].float()
    largest = x.detach().abs().amax().float()
    if largest == 0:
        return torch.ones_like(largest)  # any range represents zeros
    ranges = largest * torch.linspace(0.1, 1.0, _SHARES, device=x.device)
    errors = (fake_round(values, ranges[:, None] / LEVELS) - values).square().sum(dim=1)
    return ranges[errors.argmin()]
