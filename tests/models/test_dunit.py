"""DUNIT: consistency that teaches, DRIT without boxes, instances in their place, any detector."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.blocks.roi import is_box
from models.data.batches import TwoBoxed
from models.losses.boxes import box_loss, generalised_iou, iou, moved, offset_loss, offsets_to
from models.networks.detector import AnnotatedDetector, enlarged, jittered
from models.networks.instance_boost import BoostedEncoders, InstanceBoost, Place
from models.registry import build_system
from models.system import Clock
from models.systems.drit import Drit
from models.systems.dunit import Config, Dunit
from models.trainer import Trainer

Tiny = Callable[..., tuple[Dunit, TwoBoxed]]
ONE = torch.ones(1, 1)


def box(*corners: float) -> Tensor:
    return torch.tensor([[corners]], dtype=torch.float32)


def millions(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameters_are_drits_and_a_small_branch() -> None:
    with torch.device("meta"):
        system, plain = build_system("dunit"), build_system("drit")
    assert isinstance(system.content, BoostedEncoders)  # type: ignore[union-attr]
    boost = 3 * (256 * 256 * 9) + 2 * 256  # a residual block and the fusion
    shipped, without = (millions(s.deployables()["ab"].module) for s in (system, plain))
    assert without == pytest.approx(10.47, abs=0.005)
    assert shipped - without == pytest.approx(boost / 1e6, rel=1e-3)


def test_losses_of_boxes_by_hand() -> None:
    first, second = box(0, 0, 4, 4), box(2, 2, 6, 6)
    assert iou(first, second).item() == pytest.approx(4 / 28)
    assert generalised_iou(first, second).item() == pytest.approx(4 / 28 - (36 - 28) / 36)
    apart = box(8, 0, 12, 4)
    assert iou(first, apart).item() == 0
    assert generalised_iou(first, apart).item() == pytest.approx(-16 / 48)
    assert box_loss(first, first, ONE).item() == 0
    assert box_loss(first, second, 0 * ONE).item() == 0
    offsets = offsets_to(first, second)
    torch.testing.assert_close(offsets, box(0.5, 0.5, 0, 0))
    torch.testing.assert_close(moved(first, offsets), second)
    assert offset_loss(torch.zeros(1, 1, 4), first, second, ONE).item() == pytest.approx(2 * 0.5 * 0.25)


def test_boxes_that_do_not_meet_are_drawn_together() -> None:
    found = box(8, 0, 12, 4).requires_grad_()
    box_loss(found, box(0, 0, 4, 4), ONE).backward()
    assert found.grad is not None
    assert found.grad[0, 0, 0] > 0  # descent moves its left edge to the left


def test_jitter_stays_near_and_context_surrounds() -> None:
    torch.manual_seed(0)
    boxes = box(10, 20, 30, 60, 1).expand(1, 200, 5)
    shaken = jittered(boxes)
    assert torch.equal(shaken[..., 4], boxes[..., 4])
    assert iou(shaken, boxes).min() > 0.4
    assert iou(shaken, boxes).max() < 1
    assert enlarged(box(10, 20, 30, 60, 1)).flatten().tolist() == [5, 10, 35, 70, 1]


def test_the_consistency_teaches_the_generator_and_not_the_detector(tiny_system: Tiny) -> None:
    system, batch = tiny_system("dunit")
    losses = system.eg_losses(batch, Clock())
    generator = [*system.generator.parameters()]
    for name in ("instance", "instance_cycle"):
        gradients = torch.autograd.grad(losses[name], generator, retain_graph=True, allow_unused=True)
        assert any(g is not None and g.abs().sum() > 0 for g in gradients), name
    for phase in system.phases():
        assert (system.detector in phase.updates) == (phase.name == "R")


def test_identical_detections_cost_nothing(tiny_system: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    system, batch = tiny_system("dunit")
    monkeypatch.setattr(system.detector, "refine", lambda image, proposals: batch.boxes_a[..., :4])
    assert system.consistency(batch.a, batch.boxes_a).item() == 0
    assert system.consistency(batch.a, torch.zeros_like(batch.boxes_a)).item() == 0
    monkeypatch.setattr(system.detector, "refine", lambda image, proposals: proposals[..., :4])
    assert system.consistency(batch.a, batch.boxes_a).item() > 0


def test_without_boxes_it_is_drit_bit_for_bit(tiny_system: Tiny) -> None:
    system, batch = tiny_system("dunit")
    plain, _ = tiny_system("drit")
    assert isinstance(plain, Drit)
    known = plain.state_dict().keys()
    plain.load_state_dict({name: tensor for name, tensor in system.state_dict().items() if name in known})
    z = torch.randn(2, 4)
    part, wanted = (s.eval().deployables()["ab"].module for s in (system, plain))
    assert torch.equal(part(batch.a, z, torch.zeros(2, 3, 5)), wanted(batch.a, z))
    with torch.no_grad():
        system.content.boost.fuse.weight.mul_(50)  # type: ignore[union-attr, operator]
    assert not torch.equal(part(batch.a, z, batch.boxes_a), wanted(batch.a, z))


def test_a_box_that_moves_changes_features_inside_it_only() -> None:
    torch.manual_seed(0)
    boost, features = InstanceBoost(4, 6), torch.randn(1, 4, 16, 16)
    before = boost.instances(features, box(8, 8, 24, 24, 1))
    after = boost.instances(features, box(32, 8, 48, 24, 1))
    changed = (before - after).abs().sum(dim=1)[0] > 0
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[2:6, 2:6], expected[2:6, 8:12] = True, True
    assert torch.equal(changed, expected)


def test_the_boxes_of_an_image_go_with_its_translation(tiny_system: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    system, batch = tiny_system("dunit")
    seen: list[tuple[str, Tensor]] = []
    content = system.content.forward

    def watched(image: Tensor, place: Place) -> Tensor:
        seen.append((place.domain, place.boxes))
        return content(image, place)  # type: ignore[arg-type]

    monkeypatch.setattr(system.content, "forward", watched)
    system.eg_losses(batch, Clock())
    wanted = [("a", batch.boxes_a), ("b", batch.boxes_b), ("b", batch.boxes_a), ("a", batch.boxes_b)]
    for (domain, boxes), (wanted_domain, wanted_boxes) in zip(seen, wanted, strict=True):
        assert domain == wanted_domain
        assert torch.equal(boxes, wanted_boxes)


def test_the_detector_learns_first_and_then_stays(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("dunit", total_kimg=0.024, pretrain=0.5)
    assert isinstance(trainer.system, Dunit)
    names = [{key.partition("/")[0] for key in trainer.train_step(batch)} for batch in trainer.batches()]
    assert names[:6] == [{"R"}] * 6
    assert names[6:] == [{"C"}, {"C"}, {"C", "D", "EG", "G"}] * 2
    rates = [trainer.system.learning_rate(trainer.system.content, Clock(0, k, 1.0)) for k in (0.5, 0.51)]
    assert rates == [1.0, 0.1]


def test_the_regressor_learns_to_find_a_bright_square() -> None:
    torch.manual_seed(0)
    detector = AnnotatedDetector(1, 4)
    adam = torch.optim.Adam(detector.parameters(), 3e-3)
    corners = torch.tensor([[8, 10, 22, 30], [28, 6, 44, 20], [12, 26, 38, 40], [6, 6, 18, 18]], dtype=torch.float32)
    boxes = torch.cat([corners, torch.ones(4, 1)], dim=1)[:, None]
    images = torch.full((4, 1, 48, 48), -1.0)
    for image, (x1, y1, x2, y2) in zip(images, corners.int().tolist(), strict=True):
        image[0, y1:y2, x1:x2] = 1.0
    for _ in range(80):
        adam.zero_grad()
        detector.loss(images, boxes).backward()
        adam.step()
    proposals = jittered(boxes.expand(4, 20, 5))
    found = detector.refine(images, proposals)
    assert iou(found, boxes).mean() > iou(proposals, boxes).mean() + 0.08


def test_any_detector_takes_the_annotations_place(tiny_system: Tiny) -> None:
    class Brightest:
        """A box around the pixels above zero, which never looks at annotations."""

        def detect(self, image: Tensor, known: Tensor) -> Tensor:
            found = torch.zeros_like(known)
            found[:, 0] = torch.tensor([4.0, 4.0, 12.0, 12.0, 1.0])
            return found

        def refine(self, image: Tensor, proposals: Tensor) -> Tensor:
            return proposals[..., :4] + image.mean()

    class Own(Dunit):
        def build_detector(self, cfg: Config) -> Brightest:
            return Brightest()

    plain, batch = tiny_system("dunit")
    torch.manual_seed(0)
    system = Own(plain.cfg)
    (_, place), _ = system.sides(batch)
    assert isinstance(place, Place)
    assert place.boxes[0, 0].tolist() == [4, 4, 12, 12, 1]
    assert is_box(place.boxes).sum() == 2
    assert [phase.name for phase in system.phases()] == ["C", "D", "EG", "G"]
    assert system.eg_losses(batch, Clock(2))["instance"].requires_grad


def test_what_ships_takes_boxes_in_pixels_of_its_frame(tiny_system: Tiny) -> None:
    from export.frame_graph import controls_at

    part = tiny_system("dunit")[0].deployables()["ab"]
    z, boxes = controls_at(part, (48, 64))
    assert (boxes.kind, boxes.shape, boxes.low, boxes.high) == ("boxes", (1, 2, 5), 0.0, 64.0)
    assert z.companion == "attribute_b"
