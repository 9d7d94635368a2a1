"""DIAT's checkable properties, its parameter counts and its frozen judges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from models.blocks.init import init_normal
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.networks.masked_transform import ChangeMask, gaussian, masked
from models.networks.pretrained import FrozenDenoiser, squeezenet_features
from models.registry import build_system
from models.system import Clock
from models.systems.diat import Diat, energy, steered
from models.trainer import Trainer

CLOCK = Clock()
Tiny = Callable[..., tuple[Diat, TwoImages]]


@pytest.fixture
def judges(tmp_path: Path) -> dict[str, str]:
    """Settings with weight files of an identity network and a denoiser, both random."""
    torch.manual_seed(1)
    squeeze = {f"features.{name}": t.contiguous() for name, t in squeezenet_features().state_dict().items()}
    save_file(squeeze, tmp_path / "squeeze.safetensors")
    layers = {"w0": torch.randn(4, 1, 3, 3), "b0": torch.randn(4), "w1": torch.randn(1, 4, 3, 3), "b1": torch.randn(1)}
    np.savez(tmp_path / "denoiser.npz", **{name: t.numpy() for name, t in layers.items()})
    return {"identity": "squeeze", "identity_weights": str(tmp_path / "squeeze.safetensors"),
            "denoiser_weights": str(tmp_path / "denoiser.npz")}  # fmt: skip


def count(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("diat")
    assert count(system.get_submodule("transform")) == pytest.approx(7.93, rel=1e-3)
    assert count(system.get_submodule("mask")) == pytest.approx(0.18, abs=0.005)
    assert count(system.get_submodule("enhancer")) == count(system.get_submodule("transform"))


def test_the_metric_moves_with_the_critic(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("diat")
    system, batch = trainer.system, next(trainer.batches())
    assert isinstance(system, Diat)
    assert isinstance(batch, TwoImages)

    def distance() -> Tensor:
        return energy(system.critic.features(batch.a), system.critic.features(batch.b)).detach()

    system.critic.eval()
    before, again = distance(), distance()
    assert torch.equal(before, again)
    optimizer = trainer.optimizers[system.critic]
    sum(system.d_losses(batch, CLOCK).values()).backward()  # type: ignore[union-attr]
    optimizer.step()
    assert distance() != before, "the same pair after a critic step"


def test_pixels_outside_the_mask_are_the_inputs(tiny_system: Tiny) -> None:
    system, batch = tiny_system("diat")
    system.eval()
    cells = torch.zeros(2, 1, 16, 16)
    cells[:, :, 4:8, 4:8] = 1
    mask = system.mask.spread(cells)
    outside = (mask == 0).expand_as(batch.a)
    assert 0.5 < outside.float().mean() < 1
    fake = masked(batch.a, system.transform(batch.a), mask)
    assert torch.equal(fake[outside], batch.a[outside])
    assert not torch.allclose(fake[~outside], batch.a[~outside])


def test_the_mask_is_cells_that_are_on_or_off_with_soft_edges() -> None:
    torch.manual_seed(0)
    mask, image = ChangeMask(3, 4).eval(), torch.rand(1, 3, 64, 96)
    nn.init.normal_(mask.layers[-2].weight, 0.0, 5.0)  # type: ignore[arg-type]
    soft = F.conv2d(F.pad(mask.layers(image), (2,) * 4, "replicate"), gaussian(5, 2.0))
    cells = mask.cells(image)
    assert torch.equal(cells, (soft > 0.5).float())
    assert cells.shape == (1, 1, 16, 24)
    assert set(cells.unique().tolist()) == {0.0, 1.0}
    pixels = cells.repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(mask(image), F.conv2d(F.pad(pixels, (4,) * 4, "replicate"), gaussian(9, 4.0)))


def test_the_masks_share_approaches_its_aim(tiny_system: Tiny) -> None:
    system, batch = tiny_system("diat")
    system.transform = nn.Identity()  # type: ignore[assignment]
    torch.manual_seed(0)
    init_normal(system.mask, 0.1)
    optimizer = SGD(system.mask.parameters(), 1e-4)
    shares = []
    for _ in range(60):
        loss = system.g_losses(batch, CLOCK)["ratio"]
        shares.append(float(system.mask.cells(batch.a).mean().detach()))
        assert float(loss.detach()) == pytest.approx(0.1 * 256 * abs(shares[-1] - 0.72), rel=1e-4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert abs(shares[0] - 0.72) > 0.2
    assert max(abs(share - 0.72) for share in shares[-10:]) < 0.06


def test_each_cell_is_pushed_by_a_tenth(tiny_system: Tiny) -> None:
    system, batch = tiny_system("diat")
    system.train()
    cells = system.mask.cells(batch.a)
    share = float(cells.detach().mean())
    system.mask.cells = lambda _: cells  # type: ignore[method-assign, assignment]
    (gradient,) = torch.autograd.grad(system.g_losses(batch, CLOCK)["ratio"], cells)
    torch.testing.assert_close(gradient, torch.full_like(cells, 0.1 / 2 * (1 if share > 0.72 else -1)))


def test_identity_network_and_denoiser_are_frozen(tiny_trainer: Callable[..., Trainer], judges: dict[str, str]) -> None:
    trainer = tiny_trainer("diat", pretrain=0.0, n_critic=1, n_generator=1, **judges)
    system = trainer.system
    assert isinstance(system, Diat)
    assert system.identity is not None
    assert system.denoiser is not None
    frozen = (system.identity, system.denoiser)
    before = [{key: t.clone() for key, t in net.state_dict().items()} for net in frozen]
    logs: set[str] = set()
    for batch in trainer.batches():
        logs |= set(trainer.train_step(batch))
    assert {"D/gan", "G/identity", "G/noise"} <= logs
    for was, network in zip(before, frozen, strict=True):
        assert all(torch.equal(was[key], t) for key, t in network.state_dict().items())
    saved = {name for part in system.deployables().values() for name in part.module.state_dict()}
    assert not any("identity" in name or "denoiser" in name for name in saved)


def test_the_denoiser_finds_real_noise(shared_data: Path) -> None:
    network = FrozenDenoiser(shared_data / "weights" / "dncnn_gray_sigma25.npz")
    picture = cv2.imread(str(shared_data / "cats_dogs" / "testA" / "0000.jpg"))[64:128, 64:128, ::-1]
    clean = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    torch.manual_seed(0)
    noisy = clean + torch.randn_like(clean) * 25 / 127.5
    assert F.mse_loss(noisy - network(noisy), clean) < 0.2 * F.mse_loss(noisy, clean)


def test_the_noise_weighs_more_the_more_there_is(tiny_system: Tiny, judges: dict[str, str]) -> None:
    system, batch = tiny_system("diat", **judges)
    assert isinstance(system.denoiser, FrozenDenoiser)
    last = system.denoiser.layers[-1]
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    for noise, weight in ((1.0, 0.1), (100.0, 24.0)):
        nn.init.constant_(last.bias, (2 * noise / batch.a[0].numel()) ** 0.5 / 2)  # type: ignore[arg-type]
        assert float(system.g_losses(batch, CLOCK)["noise"].detach()) == pytest.approx(weight * noise, rel=1e-4)


def test_the_critics_push_has_one_length() -> None:
    torch.manual_seed(0)
    image, weight = torch.rand(2, 3, 4, 5, requires_grad=True), torch.randn(2, 3, 4, 5)
    for scale in (1.0, 1000.0):
        loss = scale * (image * weight).sum()
        pushed = steered(loss, image, 0.163)
        torch.testing.assert_close(pushed, loss)
        (gradient,) = torch.autograd.grad(pushed, image)
        assert float(gradient.abs().sum()) == pytest.approx(0.163 * 60)
        torch.testing.assert_close(gradient / gradient.norm(), weight / weight.norm())


def test_stages_and_rounds_follow_the_clock() -> None:
    with torch.device("meta"):
        system = build_system("diat")
    due = [[p.name for p in system.phases() if p.when(Clock(step, step / 320, 1.0))] for step in range(320)]
    assert due[:16] == [["init"]] * 16
    assert due[16:32] == [["D"]] * 12 + [["G"]] * 3 + [["cycle"]]
    assert due[255] == ["cycle"]
    assert due[256:] == [["enhance"]] * 64


def test_every_critic_weight_is_clipped(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("diat", pretrain=0.0, n_critic=1)
    trainer.train_step(next(trainer.batches()))
    weights = list(trainer.system.get_submodule("critic").parameters())
    assert max(float(p.detach().abs().max()) for p in weights) == pytest.approx(0.031)


def test_the_second_stage_is_trained_alone_and_can_be_switched(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("diat", pretrain=0.0, enhance=1.0)
    system, batch = trainer.system, next(trainer.batches())
    assert set(trainer.train_step(batch)) == {"enhance/image", "enhance/perceptual"}
    parts = system.eval().deployables()
    assert list(parts) == ["generator", "enhanced", "enhancer"]
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        plain = parts["generator"].module(image)
        off, on = (parts["enhanced"].module(image, torch.full((1, 1), share)) for share in (0.0, 1.0))
        torch.testing.assert_close(off, plain, rtol=0, atol=0)
        torch.testing.assert_close(on, parts["enhancer"].module(plain), rtol=0, atol=0)
    assert not torch.allclose(on, off)


def test_without_a_second_stage_there_is_one_part(small: Callable[[str], dict[str, Any]]) -> None:
    system = build_system("diat", small("diat") | {"enhance": 0.0})
    assert list(system.deployables()) == ["generator"]


def test_what_does_not_fit_is_refused(
    tiny_system: Tiny, tmp_path: Path, small: Callable[[str], dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError, match="identity_weights"):
        tiny_system("diat", identity="vgg54")
    with pytest.raises(ConfigError, match="no identity 'face'; there are vgg54"):
        tiny_system("diat", identity="face")
    (tmp_path / "x.npz").write_bytes(b"no")
    with pytest.raises(ConfigError, match="holds no denoiser"):
        tiny_system("diat", denoiser_weights=str(tmp_path / "x.npz"))
    with pytest.raises(ConfigError, match="multiple of 64 px, not size = 32"):
        build_system("diat", small("diat") | {"size": 32})
