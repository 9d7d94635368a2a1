"""SRGAN's checkable properties, its content losses, and the images it learns from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from benchmarks.quality.pixels import luminance_psnr
from models.data.batches import Pair
from models.data.datasets import DataConfig, open_dataset, reduced
from models.errors import ConfigError, DataError
from models.networks.pretrained import FEATURES, FrozenFeatures, load_weights, squeezenet_features, vgg19_features
from models.registry import build_system
from models.system import Batch, Clock, System
from models.systems.srgan import SrBlock, SrResNet
from models.trainer import Trainer

Tiny = Callable[..., tuple[System, Batch]]


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def at(fraction: float) -> Clock:
    return Clock(kimg=fraction * 1200, total_kimg=1200)


def test_parameters_are_the_specified_ones() -> None:
    with torch.device("meta"):
        system = build_system("srgan")
    assert count(system.get_submodule("generator")) == pytest.approx(1.549e6, rel=1e-3)
    assert count(system.get_submodule("critic")) == pytest.approx(23.6e6, abs=0.05e6)


def test_16_blocks_and_the_long_skip() -> None:
    with torch.device("meta"):
        body = build_system("srgan").get_submodule("generator.body")
    assert sum(isinstance(layer, SrBlock) for layer in body.children()) == 16
    network = SrResNet(3, 4, 2).eval()
    with torch.no_grad():
        network.body[-1].weight.zero_()  # type: ignore[operator,union-attr]
        network.body[-1].bias.zero_()  # type: ignore[operator,union-attr]
        image = torch.rand(1, 3, 5, 6)
        torch.testing.assert_close(network(image), network.head(network.stem(image)))
        assert network(image).shape == (1, 3, 20, 24)


def test_the_stages_are_phases_by_the_clock() -> None:
    with torch.device("meta"):
        system = build_system("srgan")
    due = {f: [phase.name for phase in system.phases() if phase.when(at(f))] for f in (0.0, 0.83, 0.84, 1.0)}
    assert due == {0.0: ["G_pixel"], 0.83: ["G_pixel"], 0.84: ["D", "G"], 1.0: ["D", "G"]}
    rates = [system.learning_rate(system, at(f)) for f in (0.5, 0.85, 0.91, 0.92, 1.0)]
    assert rates == [1, 1, 1, 0.1, 0.1]


def test_the_second_stage_refuses_to_start_from_scratch(tiny_trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(ConfigError, match="from scratch"):
        build_system("srgan", {"pretrain": 0.0})
    trainer = tiny_trainer("srgan", pretrain=0.0, from_scratch=True)
    assert set(trainer.train_step(next(trainer.batches()))) == {"D/gan", "G/content", "G/gan"}


def test_the_first_stage_alone_is_srresnet(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("srgan", pretrain=1.0, content="vgg54")  # needs no weights
    assert set(trainer.train_step(next(trainer.batches()))) == {"G_pixel/mse"}


def test_the_vgg_layer_is_relu5_4_before_the_fifth_pool() -> None:
    with torch.device("meta"):
        network = vgg19_features()
    build, depth, scale = FEATURES["vgg54"]
    kept = list(network[:depth])
    assert build is vgg19_features
    assert sum(isinstance(layer, nn.Conv2d) for layer in kept) == 16
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in kept) == 4
    assert isinstance(kept[-1], nn.ReLU)
    assert isinstance(network[depth], nn.MaxPool2d)
    assert scale**2 == pytest.approx(0.006, rel=0.03)
    assert count(network) == 20_024_384, "torchvision's vgg19().features"
    shallow = list(network[: FEATURES["vgg22"][1]])
    assert [sum(isinstance(layer, kind) for layer in shallow) for kind in (nn.Conv2d, nn.MaxPool2d)] == [4, 1]


def test_content_is_compared_on_the_users_weights(tiny_system: Tiny, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = squeezenet_features()
    weights = {f"features.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights | {"classifier.1.bias": torch.zeros(1000)}, tmp_path / "squeeze.safetensors")
    settings = {"content": "squeeze", "content_weights": str(tmp_path / "squeeze.safetensors"), "pretrain": 0.5}
    system, batch = tiny_system("srgan", **settings)
    assert isinstance(batch, Pair)
    losses = system.phases()[2].losses(batch, at(1))
    features = FrozenFeatures(network, 1 / 130)
    with torch.no_grad():
        expected = F.mse_loss(features(system.get_submodule("generator")(batch.source)), features(batch.target))
    torch.testing.assert_close(losses["content"].detach(), expected)
    assert not any(p.requires_grad for p in system.get_submodule("features").parameters())


def test_weights_that_do_not_fit_are_refused(tiny_system: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(ConfigError, match="content_weights"):
        tiny_system("srgan", content="vgg54")
    with pytest.raises(ConfigError, match="there is no weight file"):
        load_weights(squeezenet_features(), path)
    path.write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="is damaged"):
        load_weights(squeezenet_features(), path)
    save_file({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(ConfigError, match="of another network"):
        load_weights(squeezenet_features(), path)


def test_squeezenets_real_weights_tell_a_blurred_picture_from_a_shifted_one(shared_data: Path) -> None:
    network = squeezenet_features()
    load_weights(network, shared_data / "weights" / "squeezenet1_1_imagenet_fp16.npz")
    features = FrozenFeatures(network, 1 / 130)
    picture = cv2.imread(str(shared_data / "cats_dogs" / "testA" / "0000.jpg"))[64:160, 64:160, ::-1]
    sharp = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    blurred = F.interpolate(reduced(sharp[0], 4)[None], scale_factor=4.0, mode="bicubic")
    brighter = sharp + (blurred - sharp).square().mean().sqrt()  # as far away in pixels
    with torch.no_grad():
        assert F.mse_loss(features(blurred), features(sharp)) > 2 * F.mse_loss(features(brighter), features(sharp))


def test_pixel_shuffle_is_depth_to_space_in_crd_order() -> None:
    """Output pixel (2h + i, 2w + j) of channel c is input channel 4c + 2i + j."""
    x = torch.arange(8.0)[None, :, None, None]
    made = nn.PixelShuffle(2)(x)
    assert made.flatten().tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert made.shape == (1, 2, 2, 2)


def test_small_images_are_matlabs_bicubic_in_whole_levels(images: Path) -> None:
    cfg = DataConfig(data=str(images), size=32, load_size=0)
    sample = open_dataset("high_resolution", cfg, 0).sample(3)
    assert isinstance(sample, Pair)
    assert (sample.source.shape, sample.target.shape) == ((3, 8, 8), (3, 32, 32))
    levels = (sample.source + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    # The widened cubic kernel with a = -½ on a step, far from the borders: imresize's weights.
    step = torch.cat([torch.zeros(1, 4, 32), torch.ones(1, 4, 32)], dim=2)
    offsets = (np.arange(64) - 31.5)[:, None] / 4 - (np.arange(16) - 7.5)[None]
    t = np.abs(offsets)
    kernel = np.where(t <= 1, 1.5 * t**3 - 2.5 * t**2 + 1, np.where(t < 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0))
    expected = (kernel / kernel.sum(axis=0))[32:].sum(axis=0)[3:13]
    made = reduced(step, 4, 2**24)[0, 0, 3:13].numpy()
    np.testing.assert_allclose(made, expected.clip(-1, 1), atol=1e-4)


def test_crops_that_would_have_to_be_enlarged_are_refused(images: Path) -> None:
    with pytest.raises(DataError, match=r"is 140×130, smaller than the crops of size = 144"):
        open_dataset("high_resolution", DataConfig(data=str(images), size=144, load_size=0), 0).sample(0)
    with pytest.raises(DataError, match="must be a multiple of scale"):
        open_dataset("high_resolution", DataConfig(data=str(images), size=34), 0)


def test_psnr_is_of_luminance_inside_a_border_of_4_px() -> None:
    dark = np.full((20, 24, 3), 100, np.uint8)
    gray = dark + 10
    assert luminance_psnr(dark, gray) == pytest.approx(10 * np.log10(255**2 / (10 * 219 / 255) ** 2))
    framed = gray.copy()
    framed[4:-4, 4:-4] = 100  # wrong only within the border
    assert luminance_psnr(dark, framed) == float("inf")
    assert luminance_psnr(dark, framed, border=0) < 40
    blue, green = dark.copy(), dark.copy()
    blue[..., 0] += 10
    green[..., 1] += 10
    assert luminance_psnr(dark, blue) > luminance_psnr(dark, green) + 10, "the eye sees green"
