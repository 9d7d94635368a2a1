"""How strongly to augment: a probability that rises while the critic is too sure of the real images it was shown.

Paper: Karras et al., NeurIPS 2020, section 3: r = E[sign D(x)] over the training images; after every four minibatches p
makes a step, up where r is above the target and down where it is below. Differs from the paper: the sign is
that of the logit's distance to the game's own boundary (LSGAN: 1/2), and p ends at `ceiling`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.losses.verdicts import Verdict

INTERVAL = 4  # minibatches


def sureness(verdicts: Sequence[Verdict]) -> Tensor:
    """r of one minibatch in [-1, 1]: the mean over critics of the mean sign over all images and patches."""
    signs = [(v.real.detach().float() - v.boundary).sign().mean() for v in verdicts if v.boundary is not None]
    return torch.stack(signs).mean()


@dataclass
class Controller:
    """p, and what it was last told."""

    target: float
    images: float  # in which p could go from 0 to 1
    ceiling: float
    p: float = 0.0
    r: float = 0.0  # of the last interval
    pending: list[float] = field(default_factory=list)  # r of the minibatches since

    def observe(self, r: Tensor, batch: float, mean: Callable[[Tensor], Tensor]) -> None:
        """Note a minibatch of `batch` images over all processes; `mean` averages over them."""
        value = float(mean(r))
        if value == value:  # a step whose logits were not numbers teaches nothing
            self.pending.append(value)
        if len(self.pending) < INTERVAL:
            return
        self.r = sum(self.pending) / INTERVAL
        self.pending.clear()
        way = (self.r > self.target) - (self.r < self.target)
        self.p = min(self.ceiling, max(0.0, self.p + way * INTERVAL * batch / self.images))
