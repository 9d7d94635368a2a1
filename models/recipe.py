"""A recipe is one flat table: the system's settings, the data's and the training's, without nesting or inheritance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.augment.augment import Augment, InstanceNoise, no_augment
from models.augment.diffaugment import DiffAugment
from models.augment.switches import Switches
from models.config import build_configs, parse_setting, parse_toml
from models.data.datasets import DataConfig
from models.errors import ConfigError
from models.registry import system_class
from models.system import Clock


@dataclass(frozen=True)
class TrainConfig(Switches):
    """How long, how many, how often; progress is counted in kimg, thousands of real images of one domain."""

    system: str = ""
    total_kimg: float = 100.0
    batch: int = 1  # over all processes
    seed: int = 0
    ema: float = 0.999  # decay per step of the weights that ship; 0 = ship the last step's
    augment: str = ""  # DiffAugment policies in front of critics: "color,translation,cutout"
    instance_noise: float = 0.0  # std of Gaussian noise in front of critics at the start; falls to 0 by the end
    qat_after: float = 1.0  # share of the training from which on generators round as in INT8; 1 = never
    qat_weight_bits: int = 7  # of the rounded weights, 7 or 8
    qat_ends: bool = False  # round the first and the last convolutions too
    precision: str = "32-true"  # or "bf16-mixed"
    accelerator: str = "auto"  # "cpu", "cuda"
    workers: int = 0  # processes that read images
    log_every: int = 20  # steps
    save_every_kimg: float = 5.0
    grid_every_kimg: float = 5.0
    grid_images: int = 4

    @property
    def steps(self) -> int:
        """The whole number of batches that comes nearest to `total_kimg`, at least one."""
        return max(1, round(self.total_kimg * 1000 / self.batch))


@dataclass(frozen=True)
class Recipe:
    """A complete, typed recipe."""

    train: TrainConfig
    data: DataConfig
    system: Any  # the system's Config

    def flat(self) -> dict[str, Any]:
        """The table that makes this recipe again."""
        return asdict(self.system) | asdict(self.data) | asdict(self.train)

    def to_toml(self) -> str:
        """The same as a recipe file."""
        return "".join(f"{name} = {_toml(value)}\n" for name, value in self.flat().items())

    def augment(self, clock: Clock) -> Augment:
        """What the recipe puts in front of critics."""
        policy: Augment = DiffAugment(self.train.augment) if self.train.augment else no_augment
        std = self.train.instance_noise * (1 - clock.fraction)
        return InstanceNoise(policy, std) if std else policy


def read_recipe(path: Path | None, settings: Sequence[str] = ()) -> Recipe:
    """The recipe of a TOML file with `NAME=VALUE` settings laid over it.

    Raises:
        ConfigError: the file is missing or not TOML, it names no system, or a setting is unknown or of a wrong type.
    """
    values = _read(path) if path else {}
    values |= dict(parse_setting(text) for text in settings)
    return make_recipe(values)


def make_recipe(values: dict[str, Any]) -> Recipe:
    """The recipe of a flat table; raises ConfigError as `read_recipe`."""
    name = values.get("system")
    if not isinstance(name, str) or not name:
        raise ConfigError("the recipe names no system; add e.g. system = \"cyclegan\" (see `python -m models.list`)")
    train, data, system = build_configs([TrainConfig, DataConfig, system_class(name).config], values)
    if train.batch < 1 or train.total_kimg <= 0:
        raise ConfigError(f"batch and total_kimg must be positive, got {train.batch} and {train.total_kimg}")
    if train.log_every < 1 or train.grid_images < 1 or not 0 <= train.ema < 1:
        raise ConfigError(
            f"log_every and grid_images are at least 1 and ema is in [0, 1), got {train.log_every}, "
            f"{train.grid_images} and {train.ema}"
        )
    if not 0 <= train.qat_after <= 1 or train.qat_weight_bits not in (7, 8):
        raise ConfigError(
            f"qat_after is a share of the training and qat_weight_bits is 7 or 8, got {train.qat_after} and "
            f"{train.qat_weight_bits}"
        )
    if train.instance_noise < 0:
        raise ConfigError(f"instance_noise is a standard deviation, not {train.instance_noise}")
    train.check()
    return Recipe(train, data, system)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    if nested := [name for name, value in values.items() if isinstance(value, dict)]:
        raise ConfigError(f"{path}: recipes are flat; take {nested[0]!r} out of its [table]")
    return values


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)
