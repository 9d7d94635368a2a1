"""The pool of past fakes that a critic is shown, so that it does not forget (Shrivastava et al., CVPR 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Holds up to `size` past fakes. The generator's phase pushes, the critic's phase draws.

    Until the pool is full a drawn image is the new one, stored too; afterwards, with probability 1/2, it is a random
    stored one, which the new one replaces. With size 0 the newest fakes are drawn as they are.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._stored: list[Tensor] = []
        self._newest: Tensor | None = None
        self._drawn: Tensor | None = None

    def push(self, fakes: Tensor) -> None:
        """Remember the newest fakes (N, C, H, W); gradients are cut."""
        self._newest, self._drawn = fakes.detach(), None

    def draw(self) -> Tensor:
        """(N, C, H, W): newest fakes, partly swapped for older ones; the same ones until the next push."""
        if self._newest is None:
            raise RuntimeError("draw() before the first push(): the generator's phase must run before the critic's")
        if self._drawn is None:
            self._drawn = torch.stack([self._swap(fake) for fake in self._newest])
        return self._drawn

    def _swap(self, fake: Tensor) -> Tensor:
        if len(self._stored) < self.size:
            self._stored.append(fake)
            return fake
        if self.size and torch.rand(()) < 0.5:
            slot = int(torch.randint(self.size, ()))
            older, self._stored[slot] = self._stored[slot], fake
            return older
        return fake

    def get_extra_state(self) -> list[Tensor]:
        return self._stored

    def set_extra_state(self, state: list[Tensor]) -> None:
        self._stored = list(state)
