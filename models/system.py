"""The contract of every image-to-image system: phases to train it, deployables to ship it.

A system is one file in `models/systems/` that reads like the method section of its paper. Training is a list of phases;
a phase says which networks move, on which losses and when. Nothing is inherited but this, and no state passes between
phases through `self` (an image pool, which a paper may ask for, is a module of its own).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.augment.augment import Augment, no_augment

Losses = dict[str, Tensor]  # already weighted; the trainer sums them
B = TypeVar("B", bound="Batch")


@dataclass(frozen=True)
class Clock:
    """Where training stands. Every schedule is a function of it: nothing is mutated, so resuming is exact."""

    step: int = 0
    kimg: float = 0.0  # thousands of real images shown, of one domain
    total_kimg: float = 1.0

    @property
    def fraction(self) -> float:
        """0 at the start, 1 at the end."""
        return min(1.0, self.kimg / self.total_kimg)


@dataclass(frozen=True)
class Batch:
    """Base of the batches of `models/data`: frozen dataclasses of tensors whose first axis is the batch."""

    def to(self: B, device: torch.device) -> B:
        """The same batch on another device."""
        return type(self)(**{f.name: _moved(getattr(self, f.name), device) for f in fields(self)})

    def __len__(self) -> int:
        return int(getattr(self, fields(self)[0].name).shape[0])


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    # Channels-last images make convolutions faster on the CPU and on tensor cores.
    layout = torch.channels_last if tensor.ndim == 4 else torch.preserve_format
    return tensor.to(device, non_blocking=True, memory_format=layout)


def always(clock: Clock) -> bool:
    """The phase runs at every step."""
    return True


def every(n: int) -> Callable[[Clock], bool]:
    """The phase runs at every n-th step: lazy regularisation, or a generator that follows n critic steps."""
    return lambda clock: clock.step % n == n - 1


@dataclass(frozen=True)
class Phase:
    """One turn within a training step: these losses move these networks, and no other."""

    name: str  # log prefix: "G", "D", "D_ref"
    updates: tuple[nn.Module, ...]  # disjoint networks
    losses: Callable[[Any, Clock], Losses]  # of the system's batch; weights that change over training ask the clock
    when: Callable[[Clock], bool] = always
    after: Callable[[], None] | None = None  # right after the optimiser's step: weight clipping, rho clipping


@dataclass(frozen=True)
class Control:
    """A further input of a shipped module, float32. Fields as in the manifest (runtime/manifest.py)."""

    name: str
    kind: str  # "noise", "style", "label", "mask", "boxes", "image", "content" or "scalar"
    shape: tuple[int, ...]  # batch axis 1; H and W of masks and images are 0 and fixed at export (-4: a quarter of it)
    low: float | None = None
    high: float | None = None
    default: tuple[float, ...] | None = None  # flattened; None = zeros
    names: tuple[str, ...] = ()  # of the classes of a label
    distribution: str = ""  # "normal", "uniform" or "" (not sampled)
    companion: str = ""  # the deployable that computes this control from a reference image
    sampler: str = ""  # the deployable that computes it from noise, where it has no plain distribution

    def fixed(self, height: int, width: int) -> tuple[int, ...]:
        """`shape` for images of this size: 0 in the last two axes stands for theirs, -d for its d-th part."""
        open_axes = (*((1,) * (len(self.shape) - 2)), height, width)[-len(self.shape) :]
        pairs = zip(self.shape, open_axes, strict=True)
        return tuple(axis if axis > 0 else whole // max(1, -axis) for axis, whole in pairs)


@dataclass(frozen=True)
class Deployable:
    """What ships: a module `forward([image,] *controls)` in eval mode, without training-only branches.

    Images are float NCHW in [-1, 1]. Seven signatures are one description: image → image (S1); with a control
    (S2: noise, style); `channels_in = 0` for z → image (S3); a frozen or borrowed encoder is part of `module` (S4, S5);
    a pyramid is one module (S6); `returns` other than images for classifiers and encoders (S7).

    `module` holds the system's own tensors (a checkpoint finds the weights of a part by that), joined anew where the
    paper's networks are not what ships. Weights that are computed from weights are parametrizations, or expressions
    of parameters alone: export turns both into constants.
    """

    module: nn.Module
    channels_in: int = 3  # of the image input; 0 = takes no image
    controls: tuple[Control, ...] = ()  # in the order of forward's arguments
    returns: tuple[str, ...] = ("image",)  # kind of each output: "image", "classes", "segmentation", "style", "mask"
    names: tuple[str, ...] = ()  # of the classes that "classes" and "segmentation" mean
    multiple: int = 1  # H and W must be multiples of this
    fixed_size: tuple[int, int] | None = None  # (H, W), where the network has one
    decisions: tuple[tuple[str, str], ...] = ()  # recorded in the manifest, e.g. (("dropout", "off"),)

    @property
    def takes_size(self) -> bool:
        """Whether its graph is one for a size of images: it takes one, or a map of an image."""
        return bool(self.channels_in) or any(axis <= 0 for control in self.controls for axis in control.shape)

    def refusal(self, height: int, width: int) -> str:
        """Why images of this size cannot be translated, as the end of a sentence; empty when they can."""
        if self.takes_size and self.fixed_size and (height, width) != self.fixed_size:
            return f"it was built for {self.fixed_size[0]}×{self.fixed_size[1]} images"
        if self.takes_size and (height % self.multiple or width % self.multiple):
            return f"height and width must be multiples of {self.multiple}"
        return ""


class System(nn.Module):
    """Base of all systems; `__init__(self, cfg: Config)` builds the networks, on the CPU, from torch's generator."""

    config: ClassVar[type]  # its frozen settings dataclass
    data: ClassVar[str] = "unpaired"  # the key of models.data.DATASETS that yields this system's batches
    task: ClassVar[str] = "image to image"

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.cfg = cfg
        # Limited-data augmentation, applied only in front of critics; the trainer sets it from the recipe.
        self.augment: Augment = no_augment

    @classmethod
    def data_kind(cls, cfg: Any) -> str:
        """The key of models.data.DATASETS, where it depends on the settings."""
        return cls.data

    def prepare(self, batch: Any) -> None:
        """Build what depends on data (CUT's patch MLPs, TuiGAN's pyramid); called once, before the optimisers.

        Raises ConfigError when the system cannot be trained on such batches.
        """

    def refusal(self, batch: int) -> str:
        """Why batches of so many images cannot be trained on, as the end of a sentence; empty when they can."""
        return ""

    def phases(self) -> list[Phase]:
        """All phases, in the order of a step."""
        raise NotImplementedError

    def optimizer(self, network: nn.Module) -> Optimizer:
        """The optimiser of one updated network; two phases that move the same network share it."""
        raise NotImplementedError

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        """Factor on the optimiser's own learning rate."""
        return 1.0

    def shipped(self) -> tuple[nn.Module, ...]:
        """The networks that leave training: they are averaged (EMA) and stand in the checkpoint."""
        return tuple(dict.fromkeys(part.module for part in self.deployables().values()))

    def deployables(self) -> dict[str, Deployable]:
        """What ships, by name; the first is the default."""
        raise NotImplementedError

    @torch.no_grad()
    def samples(self, batch: Any) -> dict[str, Tensor]:
        """Named image rows (N, C, H, W) in [-1, 1] for the sample grid; noise comes from torch's generator."""
        raise NotImplementedError
