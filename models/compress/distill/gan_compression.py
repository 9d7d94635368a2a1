"""GAN Compression: distil into a network of many widths at once, then let evolution choose one within a budget.

Paper: Li et al., "GAN Compression: Efficient Architectures for Interactive Conditional GANs", CVPR 2020.
Differs from the paper: one run does all. For the first `search_at` of training the student is the once-for-all network,
of which every step trains a random width per layer (the paper's "fast" form, without a distillation before it); then
evolution takes the widths whose pictures are nearest to the teacher's (mean absolute error, on the images that training
began with; the paper takes FID) within `budget_gmac`, and the rest of training belongs to them. The student starts
from random weights, the paper's from its teacher's. It is the compact generator, or, with `widths = []`, any other,
which is then distilled as it is. The reconstruction term follows the data: the true target of pairs, else the teacher's
answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.compress.gated import GatedGenerator, Slimmed
from models.compress.judged import JudgedConfig, JudgedDistillation
from models.compress.student import adapted, deployable
from models.compress.taps import resized_as
from models.data.batches import Pair
from models.errors import ConfigError
from models.system import Clock, Deployable, Losses

JUDGED_ON = 8  # images
Widths = tuple[int, ...]  # of the trunk, of each block


@dataclass(frozen=True)
class Config(JudgedConfig):
    """Paper settings for horse → zebra."""

    lambda_recon: float = 10.0
    lambda_distill: float = 0.01
    widths: tuple[int, ...] = (32, 48, 64)  # to choose from, for each layer; () = no supernet
    budget_gmac: float = 1.5  # exact, at 256²
    search_at: float = 0.7  # share of training after which evolution chooses
    population: int = 16
    generations: int = 10
    mutation: float = 0.3  # probability that a layer's width is drawn anew


class GanCompression(JudgedDistillation):
    """The student, whose gates are prefixes of its channels; `searched` says whether they are chosen."""

    config = Config
    compares_features = True
    searched: Tensor

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.register_buffer("searched", torch.zeros(1))
        self._shown: tuple[Tensor, Tensor] | None = None  # images and answers by which candidates are compared
        if cfg.widths:
            if max(cfg.widths) != cfg.width:
                raise ConfigError(f"width = {cfg.width} is the widest of the supernet: end widths with it")
            self.student = GatedGenerator(cfg)

    def prepare(self, batch: Any) -> None:
        super().prepare(batch)
        if isinstance(self.student, GatedGenerator):
            least = self.student.gmac([min(self.cfg.widths)] * len(self.student.gates()))
            if least > self.cfg.budget_gmac:
                raise ConfigError(
                    f"budget_gmac = {self.cfg.budget_gmac:g}: the narrowest candidate has {least:.2f} GMAC at 256×256; "
                    "raise the budget, or add a smaller width"
                )
            few = type(batch)(**{name: tensor[:JUDGED_ON] for name, tensor in vars(batch).items()})
            self._shown = (self.teacher.source(few), self.teacher.answer(few))

    def student_losses(self, batch: Any, clock: Clock) -> Losses:
        source = self.teacher.source(batch)
        if not isinstance(self.student, GatedGenerator):
            return self.terms(batch, *self.translate(source))
        if clock.fraction >= self.cfg.search_at and not self.searched:
            self.search()
        if self.searched:
            return self.terms(batch, *self.translate(source))
        draws = torch.randint(len(self.cfg.widths), (len(self.student.gates()),)).tolist()
        with self.student.set_to(self.masks([self.cfg.widths[draw] for draw in draws])):
            answer, features = self.translate(source)
        return self.terms(batch, answer, features)

    def terms(self, batch: Any, answer: Tensor, features: list[Tensor]) -> Losses:
        """The three losses."""
        wanted, teacher_features = self.observe(batch)
        goal = batch.target if isinstance(batch, Pair) else wanted
        pairs = zip(adapted(self.adapters, features), teacher_features, strict=True)
        distances = torch.stack([F.mse_loss(resized_as(one, other), other) for one, other in pairs])
        return {
            "recon": self.cfg.lambda_recon * F.l1_loss(answer, goal),
            "distill": self.cfg.lambda_distill * distances.sum(),
        } | self.deceit(batch, answer)

    def masks(self, widths: Sequence[int]) -> list[Tensor]:
        """The first so many channels of each gate."""
        assert isinstance(self.student, GatedGenerator)
        opens = [gate.open for gate in self.student.gates()]
        return [(torch.arange(len(o), device=o.device) < width).float() for o, width in zip(opens, widths, strict=True)]

    @torch.no_grad()
    def search(self) -> None:
        """Evolution: the better quarter lives on, the others are its crossed and mutated children."""
        assert isinstance(self.student, GatedGenerator)
        cfg, draw = self.cfg, random.Random(0)
        layers = len(self.student.gates())
        population = [self.admissible(draw, [draw.choice(cfg.widths) for _ in range(layers)])
                      for _ in range(cfg.population)]  # fmt: skip
        known: dict[Widths, float] = {}
        for _ in range(cfg.generations):
            known |= {widths: self.distance(widths) for widths in dict.fromkeys(population) if widths not in known}
            parents = sorted(set(population), key=known.__getitem__)[: max(2, cfg.population // 4)]
            children = [self.child(draw, parents) for _ in range(cfg.population - len(parents))]
            population = [*parents, *children]
        best: Widths = min(known, key=known.__getitem__)
        self.student.keep(self.masks(best))
        self.searched.fill_(1)

    def child(self, draw: random.Random, parents: list[Widths]) -> Widths:
        """Each layer's width from one of two parents, or drawn anew."""
        pair = [draw.choice(parents) for _ in range(2)]
        mixed = [
            draw.choice(self.cfg.widths) if draw.random() < self.cfg.mutation else draw.choice(both)
            for both in zip(*pair, strict=True)
        ]
        return self.admissible(draw, mixed)

    def admissible(self, draw: random.Random, widths: list[int]) -> Widths:
        """The same within the budget: layers are narrowed, at random, until it is met."""
        assert isinstance(self.student, GatedGenerator)
        choices = sorted(self.cfg.widths)
        while self.student.gmac(widths) > self.cfg.budget_gmac:
            layer = draw.choice([k for k, width in enumerate(widths) if width > choices[0]])
            widths[layer] = choices[choices.index(widths[layer]) - 1]
        return tuple(widths)

    def distance(self, widths: Widths) -> float:
        """Mean absolute error of a candidate against the teacher; statistics of batch norms are the supernet's."""
        assert isinstance(self.student, GatedGenerator)
        assert self._shown is not None
        source, wanted = (images.to(next(self.student.parameters()).device) for images in self._shown)
        training = self.student.training
        self.student.eval()
        with self.student.set_to(self.masks(widths)):
            error = float(F.l1_loss(self.student(source), wanted))
        self.student.train(training)
        return error

    def deployables(self) -> dict[str, Deployable]:
        network: nn.Module = Slimmed(self.student) if isinstance(self.student, GatedGenerator) else self.student
        return {"generator": deployable(network, self.cfg)}
