"""An exponential moving average of the networks that ship: smoother pictures than the last step's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.system import System


def shipped_names(system: System) -> list[str]:
    """Names in `system.state_dict()` of everything that belongs to a shipped network."""
    shipped = {id(t) for network in system.shipped() for t in network.state_dict(keep_vars=True).values()}
    return [name for name, t in system.state_dict(keep_vars=True).items() if id(t) in shipped]


class Ema:
    """shadow ← d·shadow + (1 - d)·weights, with d rising to `decay` over the first steps.

    Buffers are copied: statistics are averages already, and spectral norm's vectors must stay of length one. So are
    parameters that nothing trains.
    """

    def __init__(self, system: System, decay: float) -> None:
        self.decay = decay
        state = system.state_dict()
        self.shadow = {name: state[name].clone() for name in shipped_names(system)}

    @torch.no_grad()
    def update(self, system: System, step: int) -> None:
        """After training step number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        state = system.state_dict(keep_vars=True)
        for name, average in self.shadow.items():
            if isinstance(state[name], nn.Parameter) and state[name].requires_grad:
                average.lerp_(state[name], 1 - decay)
            else:
                average.copy_(state[name])

    @contextmanager
    def applied(self, system: System) -> Iterator[None]:
        """Within the block the system holds the averaged weights."""
        state = system.state_dict()
        trained = {name: state[name].clone() for name in self.shadow}
        _copy(self.shadow, state)
        try:
            yield
        finally:
            _copy(trained, state)


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, tensor in source.items():
        target[name].copy_(tensor)
