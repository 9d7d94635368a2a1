"""LeCam's anchors: running means of a critic's logits on real and on generated pictures (Tseng et al., CVPR 2021)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Anchors:
    """For each critic two means that forget by `decay` per step, free of the bias of having begun at 0."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.sums: dict[str, Tensor] = {}  # (2): real, fake
        self.steps: dict[str, int] = {}

    def update(self, critic: str, means: Tensor) -> tuple[Tensor, Tensor]:
        """Note a step's means (2) over real and fake logits; returns the anchors. What is not a number is left out."""
        before = self.sums.get(critic, torch.zeros_like(means))
        if bool(torch.isfinite(means).all()):
            self.sums[critic] = self.decay * before + (1 - self.decay) * means
            self.steps[critic] = self.steps.get(critic, 0) + 1
        share = 1 - self.decay ** self.steps.get(critic, 1)
        real, fake = (self.sums.get(critic, means) / share).unbind()
        return real, fake

    def state(self) -> dict[str, Any]:
        """To be saved."""
        return {"sums": self.sums, "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.sums, self.steps = dict(state["sums"]), dict(state["steps"])
