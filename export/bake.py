"""A control fixed for good: what depends on it alone becomes constants, and the graph loses the input and the networks
that read it. With a style, AdaIN becomes an instance norm whose scale and shift are constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx
import torch
from torch import Tensor, nn

from export.frame_graph import FrameGraph
from export.graph_edit import set_constant
from export.source import Source
from runtime.controls import Surroundings, fixed_values, parse_assignments
from runtime.errors import GraphError
from runtime.frames import Array


class Fixed(nn.Module):
    """A network whose inputs of some places are given here."""

    def __init__(self, network: nn.Module, values: Mapping[int, Array]) -> None:
        super().__init__()
        self.network = network
        self.values = {place: torch.from_numpy(value) for place, value in values.items()}

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        rest = iter(inputs)
        count = len(inputs) + len(self.values)
        given = [self.values[place] if place in self.values else next(rest) for place in range(count)]
        result: Tensor | tuple[Tensor, ...] = self.network(*given)
        return result


def baked(source: Source, assignments: Sequence[str], around: Surroundings) -> Source:
    """The source without the controls that `assignments` (NAME=VALUE) name, at these values.

    Raises:
        ControlError: an assignment is wrong.
        GraphError: no input would be left.
    """
    signature = source.signature
    values = fixed_values(parse_assignments(assignments, signature.controls, around))
    rest = tuple(control for control in signature.controls if control.name not in values)
    if signature.frame is None and not rest:
        raise GraphError(f"with {', '.join(values)} baked in, the graph would take nothing and always give the same")
    network = onnx.ModelProto()
    network.CopyFrom(source.network)
    for name, value in values.items():
        (port,) = (port for port in network.graph.input if port.name == name)
        network.graph.input.remove(port)
        set_constant(network.graph, name, value)
    places = {signature.input_names.index(name): value for name, value in values.items()}
    old = source.reference
    reference = FrameGraph(Fixed(old.network, places), old.channels_in, old.returns, old.pixels).eval()
    told = {f"baked {text.partition('=')[0]}": text.partition("=")[2] for text in assignments}
    return replace(
        source, network=network, reference=reference, signature=replace(signature, controls=rest),
        decisions=source.decisions | told,
    )  # fmt: skip
