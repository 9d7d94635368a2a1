"""INT8 ranges that were learnt in training, as a frame graph carries them: among its metadata, by tensor.

`export.onnx` writes them for a checkpoint whose generator was trained rounded; `quantize --scales trained` puts them
into Q/DQ nodes, with the policy they were learnt under and without bias correction: the trained biases know the
rounding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from onnx import ModelProto

from calibration.int8 import Policy, activations, candidates
from runtime.errors import EngineError

KEY = "inloco.int8"


@dataclass(frozen=True)
class Trained:
    """Ranges by tensor, and the policy that says which layers are INT8."""

    ranges: Mapping[str, float]
    policy: Policy


def write_trained(model: ModelProto, trained: Trained) -> ModelProto:
    """A copy of `model` that carries the ranges."""
    copy = ModelProto()
    copy.CopyFrom(model)
    entry = copy.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps({"ranges": dict(trained.ranges), **asdict(trained.policy)})
    return copy


def has_trained(model: ModelProto) -> bool:
    """Whether a graph carries trained ranges."""
    return any(entry.key == KEY for entry in model.metadata_props)


def read_trained(model: ModelProto) -> Trained:
    """The ranges that a prepared graph carries.

    Raises:
        EngineError: it carries none, or they are of other tensors.
    """
    if not has_trained(model):
        raise EngineError(
            "this graph carries no trained ranges: train with qat_after below 1 and export again, or use "
            "--scales measured"
        )
    found = json.loads(next(entry.value for entry in model.metadata_props if entry.key == KEY))
    trained = Trained(found.pop("ranges"), Policy(**found))
    if set(activations(model, candidates(model, trained.policy))) != set(trained.ranges):
        raise EngineError("the trained ranges of this graph are of other tensors: export it again")
    return trained
