"""DANN's checkable properties, and the digits it learns from."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.blocks.gradient_reversal import reverse_gradient
from models.data.arrays import open_labelled, read_labels, read_pixels
from models.data.batches import Adaptation
from models.data.datasets import DataConfig, open_dataset
from models.errors import ConfigError, DataError
from models.registry import build_system
from models.system import Batch, Clock, System

Tiny = Callable[..., tuple[System, Batch]]
DIGITS = tuple("0123456789")


def at(fraction: float) -> Clock:
    return Clock(kimg=fraction, total_kimg=1.0)


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Twenty 28×28 digits with labels, as MNIST's files."""
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    write_idx(path, np.random.default_rng(0).integers(0, 256, (20, 28, 28)))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.arange(20) % 10)
    return path


def test_the_domain_losss_gradient_is_negated_and_scaled_for_features_and_not_for_the_head(tiny_system: Tiny) -> None:
    """Finite differences of the loss against what backward gives."""
    system, batch = tiny_system("dann")
    clock, step = at(0.5), 1e-3
    system.double()
    batch = type(batch)(*(t.double() if t.is_floating_point() else t for t in vars(batch).values()))
    slopes = {}
    for name in ("features", "domain_head"):
        bias = [p for p in system.get_submodule(name).parameters() if p.ndim == 1][-1]
        (given,) = torch.autograd.grad(system.phases()[0].losses(batch, clock)["domain"], bias)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                bias[0] += sign * step
                values.append(float(system.phases()[0].losses(batch, clock)["domain"]))
                bias[0] -= sign * step
        slopes[name] = float(given[0]), (values[0] - values[1]) / (2 * step)
    assert abs(slopes["features"][1]) > 1e-9
    assert slopes["features"][0] == pytest.approx(-system.strength(clock) * slopes["features"][1], rel=1e-3)  # type: ignore[operator]
    assert slopes["domain_head"][0] == pytest.approx(slopes["domain_head"][1], rel=1e-3)


def test_forward_is_the_identity_and_backward_times_minus_lambda() -> None:
    x = torch.randn(3, requires_grad=True)
    y = reverse_gradient(x, 0.3)
    assert torch.equal(x, y)
    y.sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(x.grad, torch.full((3,), -0.3))


def test_lambda_is_0_at_the_start_and_near_1_at_the_end() -> None:
    with torch.device("meta"):
        system = build_system("dann")
        alone = build_system("dann", {"lambda_domain": 0.0})
    strengths = [system.strength(at(p)) for p in (0, 0.5, 1)]  # type: ignore[operator]
    assert strengths == pytest.approx([0, 0.987, 0.9999], abs=5e-4)
    assert alone.strength(at(1)) == 0  # type: ignore[operator]


def test_the_learning_rate_falls_as_published() -> None:
    with torch.device("meta"):
        system = build_system("dann")
    (group,) = system.optimizer(system.get_submodule("features")).param_groups
    assert (group["lr"], group["momentum"]) == (0.01, 0.9)
    rates = [group["lr"] * system.learning_rate(system, at(p)) for p in (0, 0.5, 1)]
    assert rates == pytest.approx([0.01, 0.01 / 6**0.75, 0.01 / 11**0.75])


def test_target_labels_are_never_read(digits: Path, tmp_path: Path) -> None:
    """The target's label file is missing, then of nonsense: the samples stay the same."""
    (tmp_path / "target").mkdir()
    target = tmp_path / "target" / digits.name
    target.write_bytes(digits.read_bytes())
    cfg = DataConfig(data_a=str(digits), data_b=str(target), domains=DIGITS, size=28, load_size=28, channels=1)
    first = open_dataset("adaptation", cfg, 0).sample(3)
    assert set(vars(first)) == {"source", "label", "target"}
    (tmp_path / "target" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"no labels at all")
    again = open_dataset("adaptation", cfg, 0).sample(3)
    assert all(torch.equal(one, other) for one, other in zip(vars(first).values(), vars(again).values(), strict=True))


def test_the_exported_graph_has_no_domain_head(tiny_system: Tiny) -> None:
    system, _ = tiny_system("dann")
    (part,) = system.deployables().values()
    shipped = {id(p) for p in part.module.parameters()}
    assert not shipped & {id(p) for p in system.get_submodule("domain_head").parameters()}
    assert (part.returns, part.names) == (("classes",), ("dark", "light"))
    assert part.module(torch.zeros(3, 3, 32, 32)).shape == (3, 2)


def test_the_networks_are_the_specified_ones() -> None:
    with torch.device("meta"):
        mnist, svhn = build_system("dann"), build_system("dann", {"layout": "svhn", "size": 32})
    assert mnist.get_parameter("classifier.0.weight").shape == (100, 7 * 7 * 48)
    assert mnist.get_parameter("domain_head.2.weight").shape == (2, 100)
    assert svhn.get_parameter("classifier.2.weight").shape == (2048, 3072)
    with pytest.raises(ConfigError, match="no layout 'usps'"):
        build_system("dann", {"layout": "usps"})
    with pytest.raises(ConfigError, match="multiple of 4 px"):
        build_system("dann", {"size": 30})


def test_it_learns_the_sources_classes(tiny_system: Tiny) -> None:
    """Dark against light in a dozen steps, on both domains; the means it subtracts are those it was shown."""
    system, batch = tiny_system("dann", batch=16)
    assert isinstance(batch, Adaptation)
    both = torch.cat([batch.source, batch.target])
    torch.testing.assert_close(system.get_buffer("features.mean").flatten(), both.mean(dim=(0, 2, 3)))
    networks = system.phases()[0].updates
    optimizers = [system.optimizer(network) for network in networks]

    def loss(fraction: float) -> Tensor:
        return system.phases()[0].losses(batch, at(fraction))["class"]

    before = float(loss(0).detach())
    for step in range(12):
        losses = system.phases()[0].losses(batch, at(step / 12))
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.stack([*losses.values()]).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
    assert loss(1) < before


def test_a_part_of_a_file_is_named_behind_a_hash(digits: Path) -> None:
    part = Path(f"{digits}#5:9")
    assert read_labels(part).tolist() == [5, 6, 7, 8]
    assert np.array_equal(read_pixels(part), read_pixels(digits)[5:9])
    with pytest.raises(DataError, match="holds no image"):
        read_pixels(Path(f"{digits}#30:40"))
    with pytest.raises(DataError, match="a part is FIRST:LAST"):
        read_pixels(Path(f"{digits}#train"))


def test_a_gray_file_gives_colour_where_it_is_asked_for(digits: Path) -> None:
    pictures, _ = open_labelled(digits, DIGITS, 3, 1)
    assert pictures[0].shape == (28, 28, 3)
    assert np.array_equal(pictures[0][:, :, 0], pictures[0][:, :, 2])


def test_labels_without_a_name_are_refused(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has labels 0 to 9, but 2 domains are named"):
        open_labelled(digits, ("a", "b"), 1, 1)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="has no labels beside it"):
        open_labelled(digits, DIGITS, 1, 1)
    digits.write_bytes(b"\x1f\x8bbroken")
    with pytest.raises(DataError, match="cannot be read"):
        read_pixels(digits)


def test_class_folders_give_labels(images: Path) -> None:
    pictures, labels = open_labelled(images / "train", ("light", "dark"), 3, 8)
    assert len(pictures) == 10
    assert labels.tolist() == [0] * 5 + [1] * 5
    assert pictures[0].min() >= 127 >= pictures[9].max()
    with pytest.raises(DataError, match="no folder of the class 'gray'"):
        open_labelled(images / "train", ("gray",), 3, 8)


def test_svhns_file_names_the_digit_0_ten(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    scipy_io.savemat(tmp_path / "test_32x32.mat", {"X": pixels, "y": np.array([[10], [1], [2], [9]], np.uint8)})
    path = tmp_path / "test_32x32.mat"
    assert read_labels(path).tolist() == [0, 1, 2, 9]
    assert np.array_equal(read_pixels(path)[3], pixels[:, :, :, 3])


def test_real_digits_are_read(shared_data: Path) -> None:
    usps = shared_data / "digits" / "usps.h5#train"
    pixels = read_pixels(usps)
    assert (pixels.shape, pixels.max()) == ((7291, 16, 16), 255)
    assert np.bincount(read_labels(usps)).tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]  # published
    mnist = shared_data / "digits" / "t10k-images-idx3-ubyte.gz#0:8000"
    assert read_pixels(mnist).shape == (8000, 28, 28)
    assert read_labels(mnist)[:5].tolist() == [7, 2, 1, 0, 4]
