"""What is to be exported: a bare network as a graph, and the torch reference it must equal when seen through frames."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

import torch
from onnx import ModelProto

from export.frame_graph import FrameGraph, Signature, controls_at, signature_of
from export.parity import Item
from export.reach import reach_of
from export.trace import graph_from_module
from models.checkpoint import CheckpointInfo, load_system
from models.compress.last_phase import TrainedRanges
from models.errors import ModelsError
from models.system import Deployable, System
from runtime.errors import GraphError
from runtime.manifest import Control


@dataclass(frozen=True)
class Source:
    """A network on its way to a frame graph."""

    network: ModelProto  # float images in and out; inputs and outputs in the order of `signature`
    reference: FrameGraph
    signature: Signature
    system: str
    sha256: str  # of the checkpoint or the foreign file
    decisions: dict[str, str] = field(default_factory=dict)
    task: str = ""
    ranges: TrainedRanges | None = None  # of a network that was trained rounded

    @property
    def companions(self) -> tuple[str, ...]:
        """The deployables that compute its controls."""
        roles = [role for control in self.signature.controls for role in (control.companion, control.sampler) if role]
        return tuple(dict.fromkeys(roles))

    def run_reference(self, item: Item) -> Item:
        """What the network gives for one item, through torch."""
        inputs = [torch.from_numpy(item[name]) for name in self.signature.input_names]
        with torch.no_grad():
            outputs = self.reference(*inputs)
        return {name: out.numpy() for name, out in zip(self.signature.output_names, outputs, strict=True)}


@dataclass(frozen=True)
class Trained:
    """A checkpoint's system; its parts become sources."""

    system: System
    info: CheckpointInfo

    @classmethod
    def load(cls, path: Path) -> Trained:
        """Raises GraphError when the checkpoint is missing, damaged, holds NaN, or is of another system."""
        try:
            return cls(*load_system(path))
        except ModelsError as error:
            raise GraphError(str(error)) from error

    def part(self, name: str) -> Deployable:
        """A deployable whose weights the checkpoint holds.

        Raises:
            GraphError: there is none of that name; names the nearest.
        """
        if name not in self.info.parts:
            near = get_close_matches(name, self.info.parts, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.info.parts)}"
            raise GraphError(f"the {self.info.system} checkpoint has no part {name!r}; {hint}")
        return self.system.deployables()[name]

    def source(self, name: str, size: tuple[int, int] | None, bits: int = 8) -> Source:
        """The part `name` at `size` (H, W); None where the part has a size of its own, or takes no image.

        Raises:
            GraphError: the part is unknown, the size is missing or not allowed, or torch cannot export the network.
        """
        part = self.part(name)
        size = _checked_size(name, part, size)
        controls = tuple(self._held(control) for control in controls_at(part, size))
        reference = FrameGraph.around(part, bits)
        with torch.no_grad():
            signature = signature_of(reference, size, controls, part.names)
        example = [torch.zeros(1, part.channels_in, *size)] if part.channels_in else []
        example += [torch.zeros(control.shape) for control in controls]
        network = graph_from_module(part.module, tuple(example), signature.input_names, signature.output_names)
        return Source(
            network, reference, signature, self.info.system, self.info.sha256,
            dict(part.decisions) | reach_of(reference, size, controls, part.multiple), type(self.system).task,
            self.info.ranges.get(name),
        )  # fmt: skip

    def companion(self, name: str, size: tuple[int, int] | None, bits: int) -> Source:
        """The part `name` beside one of frames of `size`; it has the next size that it can take."""
        part = self.part(name)
        if size is not None:
            size = (-(-size[0] // part.multiple) * part.multiple, -(-size[1] // part.multiple) * part.multiple)
        return self.source(name, part.fixed_size or size, bits)

    def _held(self, control: Control) -> Control:
        """Without the companions that the checkpoint does not hold."""
        held = {"": "", **{part: part for part in self.info.parts}}
        return replace(control, companion=held.get(control.companion, ""), sampler=held.get(control.sampler, ""))


def _checked_size(name: str, part: Deployable, size: tuple[int, int] | None) -> tuple[int, int]:
    if not part.takes_size:
        return size or part.fixed_size or (1, 1)  # the noise decides the size
    size = size or part.fixed_size
    if size is None:
        raise GraphError(f"{name} takes images of many sizes: state one with --size HxW")
    if refusal := part.refusal(*size):
        raise GraphError(f"{name} cannot take {size[0]}x{size[1]} images: {refusal}")
    return size
