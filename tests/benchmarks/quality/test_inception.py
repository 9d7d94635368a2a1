"""FID's Inception v3: its published size, its resizing, and what is refused in its place.

With random weights the network and the resizing were compared once with torch-fidelity's (1e-5 on features of 24).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from benchmarks.quality.features import Features
from benchmarks.quality.inception import Inception
from benchmarks.quality.inception_weights import open_inception, prepared
from runtime.errors import SourceError


@pytest.fixture(scope="module")
def network() -> Inception:
    torch.manual_seed(0)
    return Inception().eval()


@pytest.fixture(scope="module")
def weights(network: Inception, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save({name: value for name, value in network.state_dict().items() if "num_batches" not in name}, path)
    return path


def test_the_network_has_the_published_size(network: Inception) -> None:
    # torchvision states 27 161 264 for its own: less 3 326 696 of the auxiliary head, less 1000 classes of 2048 + 1.
    trunk = sum(value.numel() for name, value in network.named_parameters() if not name.startswith("fc."))
    assert trunk == 27_161_264 - 3_326_696 - 1000 * 2049
    assert sum(isinstance(module, torch.nn.Conv2d) for module in network.modules()) == 94


def test_features_and_logits_come_from_a_state_dict(network: Inception, weights: Path) -> None:
    read, note = open_inception(weights)
    picture = prepared(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    features, logits = read(picture)
    assert features.shape == (2048,)
    assert logits is not None
    assert logits == pytest.approx(features @ network.fc.weight.detach().numpy().T, abs=1e-4)  # no bias
    assert "not the published file" in note


def test_pictures_are_resized_from_the_corner_as_tensorflow_1_did() -> None:
    rows, columns = np.mgrid[0:100, 0:80]
    ramp = np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)
    levels = prepared(ramp) * 128 + 128
    assert levels.shape == (3, 299, 299)
    down, across = np.minimum(np.arange(299) * 100 / 299, 99), np.minimum(np.arange(299) * 80 / 299, 79)
    assert np.abs(levels[0] - down[:, None]).max() < 1e-3
    assert np.abs(levels[1] - across[None]).max() < 1e-3


def test_without_weights_the_way_to_them_is_told() -> None:
    with pytest.raises(SourceError, match=r"pt_inception-2015-12-05-6726825d\.pth, which .* fd_squeezenet"):
        assert Features().inception_note
    with pytest.raises(SourceError, match="there is no file"):
        open_inception(Path("absent.pth"))


def test_torchvisions_weights_are_refused_as_another_network(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1000, 2048)}, tmp_path / "torchvision.pth")
    with pytest.raises(SourceError, match=r"torchvision's Inception \(1000 classes\)"):
        open_inception(tmp_path / "torchvision.pth")


def test_other_weights_and_damaged_files_are_refused(weights: Path, tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(SourceError, match="not those of FID's Inception"):
        open_inception(tmp_path / "other.pth")
    (tmp_path / "cut.pth").write_bytes(weights.read_bytes()[:10_000])
    with pytest.raises(SourceError, match="damaged"):
        open_inception(tmp_path / "cut.pth")


def test_an_onnx_of_another_network_is_refused(tmp_path: Path) -> None:
    """2048 features do not make an Inception: ResNet-50 has as many."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, (2048, 3, 1, 1), np.zeros(2048 * 3, np.float32))
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("GlobalAveragePool", ["y"], ["f"])], "other",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 299, 299))],
        [helper.make_tensor_value_info("f", TensorProto.FLOAT, (1, 2048, 1, 1))], [weight],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), tmp_path / "x.onnx")
    with pytest.raises(SourceError, match=r"94 convolutions .*it has 1 with"):
        open_inception(tmp_path / "x.onnx")
    (tmp_path / "y.onnx").write_bytes(b"no graph")
    with pytest.raises(SourceError, match="damaged, or no ONNX"):
        open_inception(tmp_path / "y.onnx")
