"""The limited-data switches on every system of the registry: accepted and at work, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.augment.augment import no_augment
from models.errors import ConfigError
from models.registry import SYSTEMS
from models.trainer import Trainer, run_phase

MakeTrainer = Callable[..., Trainer]
SWITCHES: dict[str, dict[str, Any]] = {
    "ada": {"ada": "blit,geometry,color", "ada_p": 0.5},
    "adaptive": {"ada": "blit"},
    "apa": {"apa": True, "ada_p": 0.5},
    "lecam": {"lecam": 0.3},
    "bcr": {"consistency": "bcr"},
    "accr": {"consistency": "accr"},
}
NO_PICTURES = {"vae", "dann"}
NO_GAME = NO_PICTURES | {"dtn"}
WASSERSTEIN = {"wgan", "wgan_gp", "stargan", "diat", "tuigan"}
TOLD = {"stargan", "stargan_v2", "tunit", "lsgan", "instagan", "cogan", "unit_adaptation"}
TWO_WAYS = {"cyclegan", "ugatit", "nice_gan", "unit", "transgaga"}
REFUSED = {
    "ada": NO_PICTURES, "adaptive": NO_GAME | WASSERSTEIN, "apa": NO_GAME | TOLD, "lecam": NO_GAME,
    "bcr": NO_GAME | {"tuigan"},
    "accr": set(SYSTEMS) - TWO_WAYS,
}  # fmt: skip


def refused(name: str, make: MakeTrainer, switches: dict[str, Any]) -> str:
    try:
        make(name, augment="", **switches)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_takes_a_switch_or_refuses_it(
    name: str, tiny_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.trainer.FIRST_LOOK", 4)
    accepted: dict[str, Any] = {}
    for switch, settings in SWITCHES.items():
        sentence = refused(name, tiny_trainer, settings)
        assert bool(sentence) == (name in REFUSED[switch]), f"{switch}: {sentence}"
        if sentence:
            assert sentence.startswith(f"limited-data switches do not suit {name}: ")
            assert "\n" not in sentence
        elif switch != "adaptive":
            accepted |= settings
    if not accepted:
        return
    trainer = tiny_trainer(name, augment="", **accepted)
    batch, log = next(trainer.batches()), {}
    trainer.system.augment = trainer.limited.before_critics(no_augment)
    for phase in [*trainer.phases, *trainer.phases]:  # also those that are not due at the beginning
        log |= run_phase(phase, trainer.optimizers, (batch, trainer.clock), trainer.fabric, trainer.guard)
    assert trainer.guard.skipped == 0
    for key, loss in log.items():
        assert torch.isfinite(loss), key
    terms = {key.partition("/")[2] for key in log}
    assert ("lecam" in terms) == ("lecam" in accepted)
    assert ("consistency" in terms) == ("consistency" in accepted)
    assert bool(trainer.limited.pseudo.kept) == ("apa" in accepted)
