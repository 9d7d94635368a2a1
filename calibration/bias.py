"""Bias correction: rounding weights and activations shifts each channel's mean; the convolution's bias takes
it back.

Each layer's own shift is measured on the fp32 graph: the rounded layer runs beside the exact one on the
exact input, so no layer corrects what an earlier one has already corrected.

Source: Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction", ICCV 2019,
section 4.2; measured on frames here instead of derived from batch-norm statistics.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from tqdm import tqdm

from calibration.evaluate import Graph
from calibration.int8 import quantise
from calibration.samples import Samples
from calibration.wiring import Wiring, rebuilt
from runtime.frames import Array


def shifts(
    model: ModelProto,
    layers: list[str],
    ranges: Mapping[str, float],
    samples: Samples,
    weight_bits: int = 7,
    quiet: bool = False,
) -> dict[str, Array]:
    """Layer → (C,) mean over frames and pixels of its rounded output minus its exact output."""
    rounded = quantise(model, layers, ranges, weight_bits)
    graph = Graph(_side_by_side(model, rounded, layers), [f"{name}_shift" for name in layers])
    total: dict[str, Array] = {}
    for index in tqdm(range(len(samples)), desc="correcting biases", unit="frame", disable=quiet):
        for name, value in graph(samples[index]).items():
            total[name] = (
                total.get(name, 0) + value.astype(np.float64).mean(axis=tuple(range(2, value.ndim)))[0]
            )
    return {name: total[f"{name}_shift"] / len(samples) for name in layers}


def corrected(model: ModelProto, shift: Mapping[str, Array]) -> ModelProto:
    """The prepared fp32 graph with each layer's shift taken from its bias; quantise this one."""
    wiring = Wiring(model)
    nodes, added = [], []
    for original in model.graph.node:
        node = NodeProto()
        node.CopyFrom(original)
        if node.name in shift:
            has_bias = len(node.input) > 2 and node.input[2] in wiring.constants
            bias = wiring.array(node.input[2]) if has_bias else 0.0
            name = f"{node.name}_corrected_bias"
            added.append(numpy_helper.from_array(np.asarray(bias - shift[node.name], np.float32), name))
            node.input[:] = [*node.input[:2], name]
        nodes.append(node)
    return rebuilt(model, nodes, added)


def _side_by_side(model: ModelProto, rounded: ModelProto, layers: list[str]) -> ModelProto:
    """The fp32 graph, and beside each layer its rounded twin on the same input, with the mean of their
    difference."""
    wiring = Wiring(model)
    twins = {name: node for name, node in Wiring(rounded).nodes.items() if name in set(layers)}
    pairs = [node for node in rounded.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    beside = []
    for name, twin in twins.items():
        exact, parallel = wiring.nodes[name].output[0], f"{name}_rounded"
        twin.output[0], twin.name = parallel, parallel
        beside += [
            twin,
            helper.make_node("Sub", [parallel, exact], [f"{name}_difference"], f"{name}_difference"),
            helper.make_node("GlobalAveragePool", [f"{name}_difference"], [f"{name}_shift"], f"{name}_shift"),
        ]
    side = rebuilt(model, [*model.graph.node, *pairs, *beside], list(rounded.graph.initializer))
    side.graph.output.extend(
        helper.make_tensor_value_info(f"{name}_shift", TensorProto.FLOAT, None) for name in layers
    )
    return side
