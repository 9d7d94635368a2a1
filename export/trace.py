"""From torch to a bare ONNX network: float images in and out, fixed shapes, names that say where a node stands."""

from __future__ import annotations

import ast
import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from export.graph_edit import rename_nodes
from runtime.errors import GraphError

OPSET = 18
_SCOPES = "pkg.torch.onnx.name_scopes"


def graph_from_module(
    network: nn.Module, example: tuple[Tensor, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> onnx.ModelProto:
    """Export `network` as it stands in eval mode; `example` fixes every shape.

    Raises:
        GraphError: torch cannot export the module; its first sentence is quoted.
    """
    network = baked(network).eval()
    with quiet_torch():
        try:
            program = torch.onnx.export(
                network, example, dynamo=True, opset_version=OPSET, input_names=list(inputs),
                output_names=list(outputs), verbose=False,
            )  # fmt: skip
        except Exception as error:  # the exporter raises many unrelated types
            raise GraphError(f"torch cannot export {type(network).__name__}: {_reason(error)}") from error
    assert program is not None
    model = program.model_proto
    weights = {tensor.name for tensor in model.graph.initializer}
    rename_nodes(model.graph, {node.name: _place(node, weights) for node in model.graph.node})
    return model


def graph_from_torchscript(script: torch.jit.ScriptModule, example: Tensor, name: str) -> onnx.ModelProto:
    """Export a TorchScript network of one image; only torch's older exporter reads TorchScript.

    Raises:
        GraphError: torch cannot export it; its first sentence is quoted.
    """
    with quiet_torch(), TemporaryDirectory() as folder:
        graph = Path(folder) / "network.onnx"
        try:
            torch.onnx.export(
                script.eval(), (example,), graph, dynamo=False, opset_version=OPSET, input_names=["image"]
            )
        except Exception as error:  # the exporter raises many unrelated types
            raise GraphError(f"torch cannot export {name}: {_reason(error)}") from error
        return onnx.load(graph)


def baked(network: nn.Module) -> nn.Module:
    """A copy in which weights that are computed from others (spectral norm, …) are plain tensors."""
    network = copy.deepcopy(network)
    for module in [module for module in network.modules() if parametrize.is_parametrized(module)]:
        tensors = {name: getattr(module, name).detach() for name in module._modules["parametrizations"]._modules}  # type: ignore[union-attr]
        # Not torch's remove_parametrizations: it edits the class, which a copy shares with the network it is of.
        module.__class__ = type(module).__bases__[0]
        del module.parametrizations
        for name, tensor in tensors.items():
            module.register_parameter(name, nn.Parameter(tensor))
    return network


def _bake(module: nn.Module) -> None:
    # Not parametrize.remove_parametrizations: it edits the module's class, which the copy shares with the original.
    weights = {name: getattr(module, name) for name in module.parametrizations}  # type: ignore[union-attr]
    kind = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    module.__class__ = kind
    for name, weight in weights.items():
        module.register_parameter(name, nn.Parameter(weight.detach()))


def _place(node: onnx.NodeProto, weights: set[str]) -> str:
    """Where a node stands in the module tree, e.g. "head.0.Conv"."""
    metadata = {entry.key: entry.value for entry in node.metadata_props}
    scopes = ast.literal_eval(metadata[_SCOPES]) if _SCOPES in metadata else []
    if len(scopes) >= 2:
        return f"{scopes[-2]}.{node.op_type}".lstrip(".")
    # Nodes that the exporter fused have no scope, but their weights do.
    owners = [name.rsplit(".", 1)[0] for name in node.input if name in weights and name.endswith(".weight")]
    return f"{owners[0]}.{node.op_type}" if owners else node.op_type


def _reason(error: BaseException) -> str:
    """The innermost cause in one line: torch wraps it in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Torch logs and warns about optional packages and the future of its exporters; neither concerns the user."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
