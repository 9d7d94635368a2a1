"""GAN Slimming: pruning, distillation and 8-bit quantisation as one minimax game.

Paper: Wang et al., "GAN Slimming: All-in-One GAN Compression by a Unified Optimization Framework", ECCV 2020.
Differs from the paper: the scale that is pulled to zero is a strength behind each block's inner activation, not the one
of an instance norm, so that students without norms have it too; training goes on with what is left instead of being
taken up again. Perceptual terms are SqueezeNet's or VGG-16's, with the paper's ratio of style to content. Activations
are clamped to [-0.8, 4] instead of [0, 4], for they are leaky.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import SGD, Adam, Optimizer

from models.compress.gated import Gate, GatedGenerator, Slimmed
from models.compress.judged import JudgedConfig, JudgedDistillation
from models.compress.student import deployable
from models.errors import ConfigError
from models.losses.features import feature_distance, style_distance
from models.networks.compact import SLOPE
from models.system import Clock, Deployable, Losses, Phase

CEILING = 4.0  # of activations


@dataclass(frozen=True)
class Config(JudgedConfig):
    """Paper settings."""

    branched: bool = False  # branches would be quantised each by itself, and ship as one
    lambda_perceptual: float = 20.0  # the paper's β
    lambda_style: float = 1e5  # relative to content
    rho: float = 0.01  # by how much strengths shrink at each step, times their learning rate
    lr_strength: float = 0.1
    bits: int = 8  # of weights and activations in training; 0 = not quantised
    keep_at_least: int = 8  # channels of a block


class GanSlimming(JudgedDistillation):
    """The student, whose gates have strengths; those that reach zero are closed channels."""

    config = Config

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.branched:
            raise ConfigError("GAN Slimming quantises what ships: branched = false")
        self.student: GatedGenerator = GatedGenerator(cfg, scaled=True)
        # In a tuple, or they would stand in the state a second time.
        scaled = [gate.strength for gate in self.scaled()]
        own = {id(strength) for strength in scaled}
        weights = [p for p in self.student.parameters() if id(p) not in own]
        self._moved = (nn.ParameterList(weights), nn.ParameterList(scaled))

    def scaled(self) -> list[Gate]:
        """The gates with strengths."""
        return [gate for gate in self.student.gates() if gate.strength is not None]

    def needs_perception(self) -> bool:
        return bool(self.cfg.lambda_perceptual)

    def phases(self) -> list[Phase]:
        return [*super().phases()[:-1], Phase("S", self._moved, self.student_losses, after=self.shrink)]

    def student_losses(self, batch: Any, _: Clock) -> Losses:
        cfg, source = self.cfg, self.teacher.source(batch)
        answer = quantised(self.student, source, cfg.bits) if cfg.bits else self.student(source)
        losses = {}
        if cfg.lambda_perceptual:
            seen, meant = self.perception(answer), self.perception(self.teacher.answer(batch))
            losses["content"] = cfg.lambda_perceptual * feature_distance(seen[:1], meant[:1])
            losses["style"] = cfg.lambda_perceptual * cfg.lambda_style * style_distance(seen, meant)
        return losses | self.deceit(batch, answer)

    @torch.no_grad()
    def shrink(self) -> None:
        """The proximal step of ρ‖γ‖₁: strengths move towards zero, and stay there once they reach it."""
        for gate in self.scaled():
            assert gate.strength is not None
            shrunk = soft_threshold(gate.strength, self.cfg.rho * self.cfg.lr_strength)
            alive = gate.open * (shrunk != 0)
            if int(alive.sum()) >= self.cfg.keep_at_least:  # or the block would be closed
                gate.open.copy_(alive)
                gate.strength.copy_(shrunk * alive)

    def optimizer(self, network: nn.Module) -> Optimizer:
        weights, strengths = self._moved
        if network is strengths:
            return SGD(network.parameters(), self.cfg.lr_strength, 0.5)
        if network is weights:
            return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))
        return super().optimizer(network)

    def deployables(self) -> dict[str, Deployable]:
        return {"generator": deployable(Slimmed(self.student), self.cfg)}


def soft_threshold(x: Tensor, by: float) -> Tensor:
    """sign(x) · max(|x| - by, 0): the proximal operator of by·‖x‖₁."""
    shrunk: Tensor = x.sign() * (x.abs() - by).clamp_min(0)
    return shrunk


def quantised(student: GatedGenerator, image: Tensor, bits: int) -> Tensor:
    """The student's answer with the weights of its convolutions and its activations on a grid of 2^bits levels."""
    weights = {
        f"{name}.weight": on_grid(module.weight, float(module.weight.detach().abs().max()), bits)
        for name, module in student.named_modules() if isinstance(module, nn.Conv2d)
    }  # fmt: skip

    def clamped(module: nn.Module, given: Any, output: Tensor) -> Tensor:
        return on_grid(output.clamp(-SLOPE * CEILING, CEILING), CEILING, bits)

    activations = [module for module in student.modules() if isinstance(module, nn.LeakyReLU)]
    handles = [module.register_forward_hook(clamped) for module in activations]
    try:
        answer: Tensor = functional_call(student, weights, (image,))
    finally:
        for handle in handles:
            handle.remove()
    return answer


def on_grid(x: Tensor, largest: float, bits: int) -> Tensor:
    """x rounded to multiples of largest / (2^(bits-1) - 1); the gradient passes straight through."""
    step = max(largest, 1e-8) / (2 ** (bits - 1) - 1)
    rounded: Tensor = x + ((x / step).round() * step - x).detach()
    return rounded
