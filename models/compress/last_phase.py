"""The last phase of a recipe: from a share of the training on, what ships is trained as its INT8 engine will round.

    qat_after = 0.8        # in the recipe; 1 = never
    qat_weight_bits = 7    # as `calibration.quantize --weight-bits`
    qat_ends = false       # as `calibration.quantize --ends int8`

The learnt ranges stand in the checkpoint's header; its weights are plain, so that everything reads it as before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from models.compress.placement import Placement
from models.compress.qat import NAME, FakeQuant, attach
from models.errors import ConfigError
from models.system import Clock, Control, Deployable, System


@dataclass(frozen=True)
class TrainedRanges:
    """What a generator learnt to be rounded with."""

    ranges: tuple[float, ...]  # in the order of `placement.rounded_tensors`
    placement: Placement


class LastPhase:
    """The generators of a system that are trained rounded from `after` (a share of the training) on.

    Raises:
        ConfigError: no network of the system ships as it is trained, or none of its layers may be INT8.
    """

    def __init__(self, system: System, after: float, placement: Placement, size: int) -> None:
        self.after = after
        self.quantisers = _attach(system, placement, size) if after < 1 else {}

    def begin(self, clock: Clock) -> list[Tensor]:
        """Called before every step: start when it is time. The ranges that this step observes, which processes must
        average."""
        if clock.fraction < self.after:
            return []
        for quantiser in self.quantisers.values():
            quantiser.start()
        return [q.log_ranges.data for q in self.quantisers.values() if not q.rounds]


def _attach(system: System, placement: Placement, size: int) -> dict[str, FakeQuant]:
    networks = set(system.modules())
    made: dict[str, FakeQuant] = {}
    for name, part in system.deployables().items():
        # A part that is joined anew for shipping is not what training calls.
        if part.channels_in and "image" in part.returns and part.module in networks and part.module not in {
            quantiser.generator for quantiser in made.values()
        }:  # fmt: skip
            made[name] = attach(part.module, example_inputs(part, size), placement)
    if not made:
        raise ConfigError(
            f"qat_after: no network of {type(system).__name__} ships as it is trained, so none can be trained rounded; "
            "use qat_after = 1"
        )
    if not any(quantiser.plan.tensors for quantiser in made.values()):
        raise ConfigError("qat_after: no convolution may become INT8; use qat_ends = true, or qat_after = 1")
    return made


def example_inputs(part: Deployable, size: int) -> list[Tensor]:
    """Zeros for everything that a part takes: (1, C, size, size), or its own size, and its controls."""
    height, width = part.fixed_size or (size, size)
    return [torch.zeros(1, part.channels_in, height, width), *(_zeros(c, (height, width)) for c in part.controls)]


def _zeros(control: Control, size: tuple[int, int]) -> Tensor:
    sides = (*(1 for _ in control.shape[:-2]), *size)[-len(control.shape) :]
    return torch.zeros([n if n > 0 else side // max(1, -n) for n, side in zip(control.shape, sides, strict=True)])


def separate_ranges(system: System, weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The weights without the quantisers' own, and the header that holds the ranges of those that round by now."""
    names = {id(tensor): name for name, tensor in system.state_dict(keep_vars=True).items()}
    found = {}
    for part, deployable in system.deployables().items():
        quantiser = getattr(deployable.module, NAME, None)
        if isinstance(quantiser, FakeQuant) and quantiser.rounds:
            ranges = weights[names[id(quantiser.log_ranges)]].exp().tolist()
            found[part] = {"ranges": ranges, **asdict(quantiser.placement)}
    plain = {name: tensor for name, tensor in weights.items() if f"{NAME}." not in name}
    return plain, json.dumps(found)


def read_ranges(header: str) -> dict[str, TrainedRanges]:
    """The trained ranges of each part, by what `separate_ranges` wrote."""
    parts = json.loads(header)
    return {part: TrainedRanges(tuple(found.pop("ranges")), Placement(**found)) for part, found in parts.items()}


def round_as_trained(part: Deployable, trained: TrainedRanges, size: int) -> FakeQuant:
    """Make a plain part of a checkpoint round as it was trained: to go on, or to see what its INT8 engine will give."""
    quantiser = attach(part.module, example_inputs(part, size), trained.placement)
    quantiser.adopt(trained.ranges)
    return quantiser
