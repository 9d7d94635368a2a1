"""Folded graphs compute what they did, with the nodes gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from export.colour_order import fold_flips
from export.compose import frame_graph_from_network
from export.fold import fold_affine
from export.frame_graph import FrameGraph, PixelFormat, signature_of
from export.parity import runner
from export.simplify import refuse_random_nodes, simplified
from export.trace import graph_from_module
from runtime.errors import GateError, GraphError


def drawn(nodes: list[onnx.NodeProto], constants: dict[str, NDArray[np.float32]], channels: int = 4) -> ModelProto:
    """A graph x (1, channels, 6, 6) → y."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 6, 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], tensors), opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )


def operators(model: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def random_constants(**shapes: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(0)
    return {name: (random.random(shape) + 0.5).astype(np.float32) for name, shape in shapes.items()}


def assert_same(left: ModelProto, right: ModelProto, channels: int = 4) -> None:
    x = np.random.default_rng(1).standard_normal((1, channels, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(runner(left)({"x": x})["y"], runner(right)({"x": x})["y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_batch_norm_disappears_into_the_convolution_before_it(op: str, bias: bool, groups: int) -> None:
    out = 6
    weight = (out, 4 // groups, 3, 3) if op == "Conv" else (4, out // groups, 3, 3)
    constants = random_constants(w=weight, b=(out,), gain=(out,), shift=(out,), mean=(out,), variance=(out,))
    names = ["x", "w", "b"] if bias else ["x", "w"]
    model = drawn(
        [
            helper.make_node(op, names, ["c"], name="conv", group=groups, strides=[2, 2]),
            helper.make_node("BatchNormalization", ["c", "gain", "shift", "mean", "variance"], ["y"], epsilon=1e-3),
        ],
        constants if bias else {key: value for key, value in constants.items() if key != "b"},
    )  # fmt: skip
    folded = fold_affine(model)
    assert operators(folded) == {op: 1}
    assert_same(folded, model)


def test_a_scale_and_an_offset_pass_a_pixel_shuffle() -> None:
    constants = random_constants(w=(12, 4, 3, 3), k=(1,), o=())
    model = drawn(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("DepthToSpace", ["c"], ["d"], blocksize=2, mode="CRD"),
            helper.make_node("Div", ["d", "k"], ["m"]),
            helper.make_node("Sub", ["m", "o"], ["y"]),
        ],
        constants,
    )
    folded = fold_affine(model)
    assert operators(folded) == {"Conv": 1, "DepthToSpace": 1}
    assert_same(folded, model)


def test_nothing_folds_into_a_convolution_that_others_read() -> None:
    constants = random_constants(w=(4, 4, 1, 1), k=(1, 4, 1, 1))
    model = drawn(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
            helper.make_node("Mul", ["c", "k"], ["m"]),
            helper.make_node("Add", ["c", "m"], ["y"]),
        ],
        constants,
    )
    assert operators(fold_affine(model)) == {"Conv": 1, "Mul": 1, "Add": 1}


def test_what_varies_over_pixels_stays() -> None:
    constants = random_constants(w=(4, 4, 1, 1), k=(1, 1, 6, 6))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Mul", ["c", "k"], ["y"]),
    ]
    assert operators(fold_affine(drawn(nodes, constants))) == {"Conv": 1, "Mul": 1}


class Skip(nn.Module):
    """x + body(x), as restoration networks end."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)  # type: ignore[no-any-return]


NETWORKS: dict[str, Callable[[], list[nn.Module]]] = {
    "reflect": lambda: [nn.ReflectionPad2d(1), nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.Tanh()],
    "zero padding": lambda: [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1)],
    "pixel shuffle": lambda: [nn.Conv2d(3, 8, 2, stride=2), nn.ReLU(), nn.Conv2d(8, 12, 1), nn.PixelShuffle(2)],
    "transposed": lambda: [
        nn.Conv2d(3, 8, 2, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 3, 2, stride=2), nn.Tanh()
    ],
    "affine norm last": lambda: [nn.Conv2d(3, 3, 3, padding=1), nn.InstanceNorm2d(3, affine=True), nn.Tanh()],
    "skip": lambda: [
        Skip(nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, 48, 3, padding=1), nn.PixelShuffle(4)))
    ],
}  # fmt: skip


def composed(network: nn.Module, size: tuple[int, int] = (16, 24)) -> tuple[ModelProto, FrameGraph]:
    reference = FrameGraph(network.eval(), 3)
    signature = signature_of(reference, size)
    bare = graph_from_module(network, (torch.zeros(1, 3, *size),), ("frame",), ("translated",))
    return frame_graph_from_network(bare, signature, PixelFormat(), ("image",)), reference


@pytest.mark.parametrize("name", NETWORKS)
def test_both_flips_go_into_the_weights_and_colours_stay_right(name: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*NETWORKS[name]())
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    graph, reference = composed(network)
    assert operators(graph)["Gather"] == 2
    folded = fold_flips(fold_affine(graph))
    onnx.checker.check_model(folded, full_check=True)
    assert operators(folded)["Gather"] == 0
    frame = np.random.default_rng(0).integers(0, 256, (1, 16, 24, 3), dtype=np.uint8)
    with torch.no_grad():
        wanted = reference(torch.from_numpy(frame))[0].numpy()
    assert np.abs(runner(folded)({"frame": frame})["translated"].astype(int) - wanted).max() <= 1
    assert wanted.std() > 5


def test_a_flip_that_nothing_can_absorb_stays() -> None:
    graph, reference = composed(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.Softmax(dim=1)))
    folded = fold_flips(graph)
    assert operators(folded)["Gather"] == 2
    frame = np.random.default_rng(0).integers(0, 256, (1, 16, 24, 3), dtype=np.uint8)
    with torch.no_grad():
        wanted = reference(torch.from_numpy(frame))[0].numpy()
    np.testing.assert_array_equal(runner(folded)({"frame": frame})["translated"], wanted)


def test_nodes_are_named_by_their_place_and_nothing_of_this_machine_remains() -> None:
    graph, _ = composed(nn.Sequential(*NETWORKS["reflect"]()))
    assert [node.name for node in graph.graph.node if node.op_type == "Conv"] == ["1.Conv", "3.Conv"]
    assert b"/" not in b"".join(node.SerializeToString() for node in graph.graph.node)
    assert not graph.metadata_props


def test_spectral_norm_becomes_a_plain_weight() -> None:
    network = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 3, 3, padding=1)))
    graph, _ = composed(network)
    assert operators(graph)["Div"] == operators(graph)["MatMul"] == 0
    assert operators(graph)["Conv"] == 1
    network(torch.zeros(1, 3, 8, 8))  # the trained network is left as it was
    assert nn.utils.parametrize.is_parametrized(network[0])


def test_a_random_node_is_refused_by_name() -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 0.1 * torch.randn_like(x)

    graph, _ = composed(Noisy())
    with pytest.raises(GraphError, match=r"draws random numbers .RandomNormalLike"):
        refuse_random_nodes(graph.graph)


def test_a_simplified_graph_that_differs_is_dropped_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, _ = composed(nn.Sequential(*NETWORKS["zero padding"]()))
    other, _ = composed(nn.Sequential(*NETWORKS["reflect"]()))
    monkeypatch.setattr("onnxsim.simplify", lambda model: (other, True))
    frame = np.random.default_rng(0).integers(0, 256, (1, 16, 24, 3), dtype=np.uint8)
    kept, decision = simplified(graph, [{"frame": frame}])
    assert kept is graph
    assert decision.startswith("dropped")
    assert "onnxsim's graph is not used" in capsys.readouterr().err


def test_parity_refuses_two_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    from export.parity import Parity

    zero = np.zeros((1, 4, 4, 3), np.uint8)
    Parity().require({"translated": zero + 1}, {"translated": zero})
    with pytest.raises(GateError, match="differs from the trained network by 2 levels"):
        Parity().require({"translated": zero + 2}, {"translated": zero})
    with pytest.raises(GateError, match="classes"):
        Parity().require({"classes": np.full(3, np.nan)}, {"classes": np.ones(3)})
