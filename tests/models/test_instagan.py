"""InstaGAN's checkable properties, its parameter counts, its passes and its masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from models.blocks.init import init_normal
from models.data.batches import TwoSets
from models.data.datasets import DataConfig, Instances
from models.errors import ConfigError, DataError
from models.losses.context import context_loss, outside
from models.networks.set_networks import SetGenerator, is_present
from models.registry import build_system
from models.system import Clock
from models.systems.instagan import InstaGan

Tiny = Callable[..., tuple[InstaGan, TwoSets]]


def square(top: int, size: int = 8) -> torch.Tensor:
    mask = torch.full((1, 1, 32, 32), -1.0)
    mask[:, :, top : top + size, 4 : 4 + size] = 1.0
    return mask


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("instagan")
    generator = sum(p.numel() for p in system.get_submodule("generator_ab").parameters())
    assert generator / 1e6 == pytest.approx(26.82, rel=1e-3)
    # The published count includes the vectors of spectral norm, which are parameters there and buffers here.
    critic = system.get_submodule("critic_a")
    count = sum(t.numel() for t in (*critic.parameters(), *critic.buffers()))
    assert count / 1e6 == pytest.approx(9.75, rel=1e-3)


def test_permuting_masks_permutes_theirs_and_leaves_the_image() -> None:
    torch.manual_seed(0)
    generator, image = SetGenerator(3, 4, 1), torch.rand(1, 3, 32, 32)
    masks = torch.cat([square(2), square(12), square(22)], dim=1)
    fake, translated = generator(image, masks, torch.ones(1, 3))
    order = [2, 0, 1]
    other, permuted = generator(image, masks[:, order], torch.ones(1, 3))
    torch.testing.assert_close(other, fake, rtol=0, atol=1e-5)
    torch.testing.assert_close(permuted, translated[:, order], rtol=0, atol=1e-5)
    assert (translated[:, 0] - translated[:, 1]).abs().max() > 1e-3


def test_an_empty_slot_changes_nothing_and_stays_empty(tiny_system: Tiny) -> None:
    system, batch = tiny_system("instagan")
    part = system.deployables()["ab"].module
    one = square(4).expand(2, -1, -1, -1)
    both = torch.cat([one, torch.full_like(one, -1.0)], dim=1)
    alone, with_empty = part(batch.a, one), part(batch.a, both)
    torch.testing.assert_close(with_empty[0], alone[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(with_empty[1][:, :1], alone[1], rtol=0, atol=1e-5)
    assert torch.equal(with_empty[1][:, 1], both[:, 1])
    # Zeros, the default of a control, are as empty as -1.
    assert torch.equal(part(batch.a, torch.zeros_like(one))[0], part(batch.a, torch.full_like(one, -1.0))[0])


def test_the_context_weighs_nothing_inside_source_and_target_masks() -> None:
    source, target = square(2), square(20).requires_grad_()
    weight = outside(source, target)
    inside = ((source > 0) | (target > 0)).float()
    assert torch.equal(weight, 1 - inside)
    assert not weight.requires_grad
    image, fake = torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    assert context_loss(image, fake, weight).item() == pytest.approx(float(weight.mean()))
    assert outside(torch.cat([source, source], dim=1)).min() == 0


def test_the_context_loss_teaches_identity_where_there_is_no_instance(tiny_system: Tiny) -> None:
    system, batch = tiny_system("instagan", width=8)
    empty = torch.full_like(batch.masks_a, -1.0)[:, :1]
    adam = torch.optim.Adam(system.generator_ab.parameters(), 5e-3)

    def loss() -> torch.Tensor:
        fake, masks = system.generator_ab(batch.a, empty, is_present(empty))
        return context_loss(batch.a, fake, outside(empty, masks))

    before = loss().item()
    for _ in range(12):
        adam.zero_grad()
        loss().backward()
        adam.step()
    assert loss().item() < 0.8 * before


def test_no_gradient_of_the_second_pass_reaches_the_first(tiny_system: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    system, batch = tiny_system("instagan")
    assert [phase.name for phase in system.phases()] == ["G_1", "D_1", "G_2", "D_2"]
    scene = system.scene(system.generator_ab, batch.a, batch.masks_a, 1)
    assert not scene.image.requires_grad
    assert not scene.done.requires_grad
    expected = system.generator_ab(batch.a, batch.masks_a[:, :1], is_present(batch.masks_a[:, :1]))
    assert torch.equal(scene.image, expected[0])
    assert torch.equal(scene.done, expected[1])
    assert torch.equal(scene.masks, batch.masks_a[:, 1:])


def test_the_critic_sees_all_masks_so_far_with_translated_ones_kept(tiny_system: Tiny) -> None:
    system, batch = tiny_system("instagan")
    torch.manual_seed(0)
    for turn in range(2):
        system.g_losses(batch, Clock(), turn)
        packed = system.pool_b.draw()
        present = packed[:, 5:, 0, 0]
        assert torch.equal(present[:, : turn + 1], is_present(batch.masks_a[:, : turn + 1]))
        assert not present[:, turn + 1 :].any()
        assert (packed[:, 3 + turn + 1 : 5] == -1).all()


def test_every_convolution_of_the_critic_is_spectrally_normalised(tiny_system: Tiny) -> None:
    system, _ = tiny_system("instagan")
    convolutions = [m for m in system.critic_a.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 8
    assert all(is_parametrized(m, "weight") for m in convolutions)


def test_masks_come_apart_into_instances_in_order_of_area(images: Path) -> None:
    data = Instances(DataConfig(data=str(images), size=130, load_size=0, instances=3), 0)
    sample = data.sample(0)
    assert sample.masks_a.shape == (3, 130, 130)
    assert set(sample.masks_a.unique().tolist()) == {-1.0, 1.0}
    areas = [(mask > 0).sum().item() for mask in sample.masks_a]
    assert areas[0] > areas[1] > areas[2] == 0
    assert not ((sample.masks_a[0] > 0) & (sample.masks_a[1] > 0)).any()


def test_masks_are_cut_and_mirrored_with_their_image(tmp_path: Path) -> None:
    for side in ("trainA", "trainB"):
        picture = np.zeros((48, 48, 3), np.uint8)
        picture[4:20, 6:30] = 255
        for folder, name in ((side, "0.png"), (f"{side}_mask", "0_0.png")):
            (tmp_path / folder).mkdir()
            cv2.imwrite(str(tmp_path / folder / name), picture)
    data = Instances(DataConfig(data=str(tmp_path), size=32, load_size=0), 0)
    for k in range(8):
        sample = data.sample(k)
        assert torch.equal(sample.a[:1] > 0, sample.masks_a[:1] > 0)


def test_what_does_not_fit_is_told(tmp_path: Path, images: Path) -> None:
    (tmp_path / "trainA").mkdir()
    (tmp_path / "trainA" / "0.png").write_bytes((images / "train" / "0.png").read_bytes())
    with pytest.raises(DataError, match=r"there is no folder of masks .*trainA_mask"):
        Instances(DataConfig(data=str(tmp_path)), 0)
    (tmp_path / "trainA_mask").mkdir()
    cv2.imwrite(str(tmp_path / "trainA_mask" / "0.png"), np.zeros((9, 9), np.uint8))
    both = DataConfig(data_a=str(tmp_path / "trainA"), data_b=str(tmp_path / "trainA"))
    with pytest.raises(DataError, match="not of the size of"):
        Instances(both, 0).sample(0)
    with pytest.raises(ConfigError, match="instances = 3 must be a multiple of slots = 2"):
        build_system("instagan", {"instances": 3})


def test_with_skip_a_generator_adds_to_its_image_and_starts_near_it() -> None:
    torch.manual_seed(0)
    plain, image, masks = SetGenerator(1, 4, 1), torch.rand(1, 1, 32, 32) * 2 - 1, square(4)
    init_normal(plain)
    adds = SetGenerator(1, 4, 1, skip=True)
    adds.load_state_dict(plain.state_dict())
    given = image, masks, torch.ones(1, 1)
    torch.testing.assert_close(adds(*given)[0], image + 2 * plain(*given)[0])
    adds.start_still()
    assert (adds(*given)[0] - image).abs().max() < 0.1
    torch.testing.assert_close(adds(*given)[1], plain(*given)[1])  # the masks are drawn as ever
