"""onnxsim, kept only when its graph gives the same outputs as the one it was given."""

from __future__ import annotations

import sys

import onnxsim
from onnx import GraphProto, ModelProto

from export.parity import Item, measure_parity, runner
from runtime.errors import GraphError

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


def simplified(model: ModelProto, items: list[Item]) -> tuple[ModelProto, str]:
    """The simplified graph and what was done; `model` itself, with a warning, when simplifying changes its outputs."""
    try:
        simple, _ = onnxsim.simplify(model)
        measure_parity(simple, runner(model), items)
    except Exception as error:  # onnxsim raises whatever its C++ side throws
        reason = f"dropped: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        print(f"warning: onnxsim's graph is not used ({reason})", file=sys.stderr)
        return model, reason
    return simple, f"onnxsim {onnxsim.__version__.lstrip('v')}"


def refuse_random_nodes(graph: GraphProto) -> None:
    """No engine may draw its own noise: what it shows must be repeatable, and calibration must see it.

    Raises:
        GraphError: a node is random; names it.
    """
    for node in graph.node:
        training = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]
        if node.op_type in RANDOM or training:
            raise GraphError(
                f"the graph draws random numbers ({node.op_type} at {node.name or node.output[0]}): make the noise "
                "an input (a control of kind 'noise') or switch it off for export"
            )
        for item in node.attribute:
            for inner in (item.g, *item.graphs):
                refuse_random_nodes(inner)
