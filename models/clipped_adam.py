"""Adam on gradients of bounded length."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam


class ClippedAdam(Adam):
    """Adam that first scales all gradients together to a norm of at most `longest` (DRIT's content critic)."""

    def __init__(self, parameters: Any, lr: float, betas: tuple[float, float], weight_decay: float, longest: float):
        super().__init__(parameters, lr, betas, weight_decay=weight_decay)
        self.longest = longest

    def step(self, closure: Any = None) -> Tensor | float | None:  # type: ignore[override]
        weights: list[Tensor] = [p for group in self.param_groups for p in group["params"]]
        clip_grad_norm_(weights, self.longest)
        result: Tensor | float | None = super().step(closure)
        return result
