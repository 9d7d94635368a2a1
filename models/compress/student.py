"""Who learns: a compact generator of plain 3×3 convolutions, trained in branches; or MobileResNet, as published.

What integer hardware runs fast (models/networks/compact.py) is what ships. While it trains, each 3×3 of its blocks may
be three branches (models/blocks/branched_conv.py), and its norms are of a kind that folds away: batch norm, or none.
`tone_norm` keeps two instance norms, for teachers whose every layer has one; `norm = "instance"` keeps all.
`generator = "mobile_resnet9"` with `norm = "instance"` is the student of GAN Compression, OMGD and DCD.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from models.networks.generators import GeneratorConfig, build_generator, size_multiple
from models.system import Deployable


@dataclass(frozen=True)
class StudentConfig(GeneratorConfig):
    """The student's shape; a method's Config inherits it."""

    generator: str = "compact"
    width: int = 64
    blocks: int = 6
    norm: str = "none"
    branched: bool = True
    tone_norm: bool = False


def build_student(cfg: StudentConfig) -> nn.Module:
    """The student that a config names, with random weights."""
    return build_generator(cfg)


def deployable(student: nn.Module, cfg: StudentConfig) -> Deployable:
    """The student as what ships: branches are folded at export, for evaluated they are one convolution."""
    decisions = (("branches", "folded"),) if cfg.branched else ()
    return Deployable(student, cfg.channels, multiple=size_multiple(cfg), decisions=decisions)


def adapters(inner: list[int], outer: list[int]) -> nn.ModuleList:
    """1×1 convolutions from the student's channels to the teacher's, one for each pair of layers."""
    return nn.ModuleList(nn.Conv2d(one, other, 1) for one, other in zip(inner, outer, strict=True))


def adapted(convs: nn.ModuleList, features: list[Tensor]) -> list[Tensor]:
    """The student's features in the teacher's channels."""
    return [conv(feature) for conv, feature in zip(convs, features, strict=True)]
