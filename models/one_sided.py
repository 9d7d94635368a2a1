"""What one-sided unpaired translation has in common: a single generator A → B, Adam, a linear decay."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from models.data.batches import TwoImages
from models.networks.generators import size_multiple
from models.schedules import linear_decay
from models.system import Clock, Deployable, System


class OneSided(System):
    """Base of systems whose Config has channels, lr, beta1 and constant (and is a GeneratorConfig)."""

    data = "unpaired"
    generator: nn.Module

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        return {"generator": Deployable(self.generator, self.cfg.channels, multiple=size_multiple(self.cfg))}

    @torch.no_grad()
    def samples(self, batch: TwoImages) -> dict[str, Tensor]:
        return {"a": batch.a, "a → b": self.generator(batch.a), "b → b": self.generator(batch.b), "b": batch.b}
