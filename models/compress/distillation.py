"""What every method shares: a student, a teacher, the layers at which they are compared, and the student's phase.

A method is a system like any other, so that `models.train`, checkpoints, resuming and export need not know of it. Only
the student ships. The teacher is opened when training begins: a trained student needs no teacher to be loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from models.compress.student import StudentConfig, adapters, build_student, deployable
from models.compress.taps import choose_layers, glance, recording
from models.compress.teacher import Teacher, open_teacher, type_of
from models.errors import ConfigError
from models.networks.perception import Perception
from models.recipe import read_recipe
from models.schedules import linear_decay
from models.system import Clock, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class DistillConfig(StudentConfig):
    """The settings of every method."""

    teacher: str = ""  # checkpoint, TorchScript file or recipe; "" = the targets of pairs are its answers
    teacher_part: str = ""  # which of its networks; "" = its first
    teacher_range: tuple[float, ...] = (-1.0, 1.0)  # black and white of a TorchScript teacher
    teacher_colour: str = "rgb"
    teacher_layers: tuple[str, ...] = ()  # names of the layers to compare; () = evenly spaced
    student_layers: tuple[str, ...] = ()
    layers: int = 4  # how many, where they are not named
    dataset: str = ""  # "images", "unpaired" or "paired"; "" = what the teacher trains on, else images
    perception: str = "squeeze"  # or "vgg16": the network of perceptual terms
    perception_weights: str = ""  # file of its weights
    lr: float = 2e-4
    beta1: float = 0.5
    constant: float = 0.5  # share of training before the learning rate decays


class Distillation(System):
    """student: what ships; teacher: whom it follows; adapters: from the student's features to the teacher's."""

    config = DistillConfig
    task = "compression"
    compares_features = False  # of teacher and student

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.student = build_student(cfg)
        self.teacher = Teacher(None)
        self.perception: nn.Module = nn.Identity()
        self.adapters = nn.ModuleList()
        self.given = False  # whether the teacher came as a module
        self._teacher_taps: list[nn.Module] = []
        self._student_taps: list[nn.Module] = []

    @classmethod
    def data_kind(cls, cfg: Any) -> str:
        if cfg.dataset:
            return str(cfg.dataset)
        if not cfg.teacher:
            return "paired"
        path = Path(cfg.teacher)
        return type_of(read_recipe(path).train.system).data if path.suffix == ".toml" else "images"

    def teach(self, network: nn.Module, critic: nn.Module | None = None) -> None:
        """Take a frozen module of images in [-1, 1] for the teacher, whatever the settings say; before `prepare`."""
        self.teacher, self.given = Teacher(network, critic), True

    def prepare(self, batch: Any) -> None:
        if not self.given:
            self.teacher = open_teacher(self.cfg)
        self.teacher.prepare(batch)
        source = self.teacher.source(batch)[:1]
        if self.teacher.network is not None:
            answer, _ = glance(self.teacher.network, (), source)
            if answer.shape != source.shape:
                raise ConfigError(
                    f"the teacher makes images of {tuple(answer.shape[1:])} out of {tuple(source.shape[1:])}: a "
                    "student keeps the size and channels of its images; give another teacher"
                )
        if self.compares_features:
            self._build_adapters(source)
        if self.needs_perception():
            self.perception = Perception(self.cfg.perception, self.cfg.perception_weights)

    def needs_perception(self) -> bool:
        """Whether a term compares features of a frozen classifier."""
        return False

    def _build_adapters(self, image: Tensor) -> None:
        cfg, network = self.cfg, self.teacher.network
        if network is None:
            raise ConfigError("a teacher's answers have no features: name the teacher, or set such terms' weights to 0")
        self._teacher_taps = choose_layers(network, image, cfg.teacher_layers, cfg.layers)
        self._student_taps = choose_layers(self.student, image, cfg.student_layers, len(self._teacher_taps))
        count = min(len(self._teacher_taps), len(self._student_taps))
        self._teacher_taps, self._student_taps = self._teacher_taps[-count:], self._student_taps[-count:]
        _, seen = glance(self.student, self._student_taps, image)
        _, meant = glance(network, self._teacher_taps, image)
        self.adapters = adapters([x.shape[1] for x in seen], [x.shape[1] for x in meant])

    def observe(self, batch: Any) -> tuple[Tensor, list[Tensor]]:
        """The teacher's answer and its features."""
        with recording(self._teacher_taps) as features:
            answer = self.teacher.answer(batch)
        return answer, features

    def translate(self, source: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The student's answer and its features."""
        with recording(self._student_taps) as features:
            answer = self.student(source)
        return answer, features

    def phases(self) -> list[Phase]:
        learning = (self.student, self.adapters) if len(self.adapters) else (self.student,)
        return [*self.teacher.phases(lambda: self.augment), Phase("S", learning, self.student_losses)]

    def student_losses(self, batch: Any, clock: Clock) -> Losses:
        """The method."""
        raise NotImplementedError

    def optimizer(self, network: nn.Module) -> Optimizer:
        if network in (self.student, self.adapters):
            return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))
        return self.teacher.optimizer(network)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        system = self.teacher.system
        if system is not None and any(network is own for own in system.modules()):
            return system.learning_rate(network, clock)
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        return {"generator": deployable(self.student, self.cfg)}

    @torch.no_grad()
    def samples(self, batch: Any) -> dict[str, Tensor]:
        source = self.teacher.source(batch)
        return {"source": source, "teacher": self.teacher.answer(batch), "student": self.student(source)}
