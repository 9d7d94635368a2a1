"""Whom a student learns from: a trained checkpoint, a network that was never ours, one in training, or its answers.

    teacher = "runs/day2night/checkpoint.safetensors"    frozen; its critic is found in training.pt beside it
    teacher = "style.pt"                                 frozen TorchScript; say its teacher_range and teacher_colour
    teacher = "models/recipes/cyclegan.toml"             trained along with the student, from this recipe's settings
    teacher = ""                                         the targets of paired data are what the teacher answered

The last is the way for ONNX and for anything slow, for nothing here runs ONNX: let its engine answer each image once,

    python -m runtime.stream --engine teacher.onnx --source photos/ --sink answers/ --lossless

and give `data_a = "photos"`, `data_b = "answers"`. Answers to whole images are also what a teacher with instance norms
means: on a crop it would say something else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.augment.augment import Augment
from models.checkpoint import load_system
from models.data.batches import Pair, TwoImages
from models.errors import ConfigError
from models.recipe import read_recipe
from models.system import Batch, Clock, Losses, Phase, System


class TeacherConfig(Protocol):
    """What is asked of a method's settings."""

    teacher: str
    teacher_part: str
    teacher_range: tuple[float, ...]
    teacher_colour: str


class Teacher(nn.Module):
    """`network` maps images in [-1, 1] to images in [-1, 1]; None when the answers are in the batch.

    `critic` judges the target domain, if the teacher has one; a conditional one sees source and image side by side.
    A frozen teacher stays in eval mode and gets no gradient, whatever is done to the system around it.
    """

    def __init__(
        self, network: nn.Module | None, critic: nn.Module | None = None, system: System | None = None, part: str = ""
    ) -> None:
        super().__init__()
        self.network, self.critic, self.part = network, critic, part
        self.system = system  # when it is trained along
        if system is None:
            self.requires_grad_(False)
            self.eval()

    @property
    def online(self) -> bool:
        """Whether it is trained along with the student."""
        return self.system is not None

    def train(self, mode: bool = True) -> Teacher:
        return super().train(mode and self.online)

    def prepare(self, batch: Any) -> None:
        """Build what depends on data, in a teacher that is trained along."""
        if self.system is not None:
            self.system.prepare(batch)

    def source(self, batch: Any) -> Tensor:
        """The images of a batch that the student translates."""
        return source_of(batch, self.part)

    @torch.no_grad()
    def answer(self, batch: Any) -> Tensor:
        """What the student should say. (N, C, H, W) in [-1, 1]."""
        if self.network is None:
            if not isinstance(batch, Pair):
                raise ConfigError("without a teacher the data must be pairs: of images and a teacher's answers")
            return batch.target
        answer: Tensor = self.network(self.source(batch))
        return answer

    def phases(self, augment: Callable[[], Augment]) -> list[Phase]:
        """Its own training, if it is trained along; their names begin with T."""
        if self.system is None:
            return []
        system = self.system

        def losses(phase: Phase) -> Callable[[Batch, Clock], Losses]:
            def of(batch: Batch, clock: Clock) -> Losses:
                system.augment = augment()
                return phase.losses(batch, clock)

            return of

        return [replace(phase, name=f"T_{phase.name}", losses=losses(phase)) for phase in system.phases()]

    def optimizer(self, network: nn.Module) -> Optimizer:
        """The optimiser of one of its networks; raises ConfigError when it is frozen."""
        if self.system is None:
            raise ConfigError("a frozen teacher has nothing to train")
        return self.system.optimizer(network)


class Pixels(nn.Module):
    """A network of images in another range and colour order as one of RGB images in [-1, 1]; clamped there."""

    def __init__(self, network: nn.Module, low: float, high: float, colour: str) -> None:
        super().__init__()
        if not low < high:
            raise ConfigError(f"teacher_range = [{low:g}, {high:g}]: black must be below white")
        if colour not in ("rgb", "bgr"):
            raise ConfigError(f'teacher_colour is "rgb" or "bgr", not {colour!r}')
        self.network, self.low, self.scale, self.bgr = network, low, (high - low) / 2, colour == "bgr"

    def forward(self, image: Tensor) -> Tensor:
        given = (image + 1) * self.scale + self.low
        answer: Tensor = self.network(given.flip(1) if self.bgr else given)
        answer = answer.flip(1) if self.bgr else answer
        return ((answer - self.low) / self.scale - 1).clamp(-1, 1)


def open_teacher(cfg: TeacherConfig) -> Teacher:
    """The teacher that a setting names.

    Raises:
        ConfigError: the file is of no kind that can teach, cannot be read, or is no image → image network.
        CheckpointError: it is a damaged checkpoint.
    """
    path = Path(cfg.teacher)
    if not cfg.teacher:
        return Teacher(None)
    if path.suffix == ".onnx":
        raise ConfigError(
            f"{path} is ONNX, which nothing here runs: let its engine answer each image once (`python -m "
            "runtime.stream --engine … --source … --sink …`), leave teacher empty and give data_a and data_b"
        )
    if not path.is_file():
        raise ConfigError(f"there is no teacher {path}; give a checkpoint, a TorchScript file or a recipe")
    if path.suffix == ".safetensors":
        system, _ = load_system(path)
        return _of_system(system, cfg.teacher_part, trained=path.with_name("training.pt"))
    if path.suffix == ".toml":
        system = _untrained(path)
        return _of_system(system, cfg.teacher_part, trained=None)
    low, high = cfg.teacher_range
    return Teacher(Pixels(_script(path), low, high, cfg.teacher_colour))


def source_of(batch: Any, part: str = "") -> Tensor:
    """The images that a generator translates: the first of a batch, or `b` for the way back of an unpaired system."""
    if isinstance(batch, TwoImages) and part == "ba":
        return batch.b
    images: Tensor = getattr(batch, fields(batch)[0].name)
    return images


def target_of(batch: Any, part: str = "") -> Tensor | None:
    """Real images of the target domain, if the batch has any."""
    if isinstance(batch, TwoImages):
        return batch.a if part == "ba" else batch.b
    return batch.target if isinstance(batch, Pair) else None


def _of_system(system: System, part: str, trained: Path | None) -> Teacher:
    """A system's generator and critic; `trained` = training.pt of a frozen one, None for one that trains along."""
    parts = system.deployables()
    part = part or next(iter(parts))
    if part not in parts:
        raise ConfigError(f"the teacher has no part {part!r}; it has {', '.join(parts)}")
    made = parts[part]
    if made.controls or not made.channels_in or made.returns != ("image",):
        raise ConfigError(
            f"the teacher's part {part!r} does more than translate an image: export it with --bake for each control, "
            "and let that engine answer (leave teacher empty and give data_a and data_b)"
        )
    critic = getattr(system, {"ab": "critic_b", "ba": "critic_a"}.get(part, "critic"), None)
    critic = critic if isinstance(critic, nn.Module) else None
    if trained is None:
        return Teacher(made.module, critic, system, part)
    return Teacher(made.module, critic if critic and _restore(system, critic, trained) else None, None, part)


def _restore(system: System, critic: nn.Module, path: Path) -> bool:
    """Fill a critic, which a checkpoint does not hold, from the run's own file; False when that is not there."""
    if not path.is_file():
        return False
    state = torch.load(path, map_location="cpu", weights_only=True)["system"]
    prefix = next(name for name, module in system.named_modules() if module is critic) + "."
    critic.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    return True


def _untrained(path: Path) -> System:
    recipe = read_recipe(path)
    system: System = type_of(recipe.train.system)(recipe.system)
    return system


def type_of(name: str) -> type[System]:
    """The class of a system that may teach on-line; raises ConfigError for a compression."""
    from models.registry import COMPRESSIONS, system_class  # it lists this package's systems

    if name in COMPRESSIONS:
        raise ConfigError(f"{name} trains students; a teacher is trained by a system, such as cyclegan")
    return system_class(name)


def _script(path: Path) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript, in which others keep their networks
            script: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{path} is neither a checkpoint, a recipe nor TorchScript: save a module with torch.jit.save"
        ) from error
    return script
