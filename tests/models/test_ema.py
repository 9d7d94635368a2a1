"""The moving average of what ships."""

from __future__ import annotations

from collections.abc import Callable

import torch

from models.ema import Ema, shipped_names
from models.system import Batch, System
from models.trainer import Trainer

Tiny = Callable[..., tuple[System, Batch]]


def test_the_average_is_its_recurrence(tiny_system: Tiny) -> None:
    system, _ = tiny_system("cut")
    ema = Ema(system, 0.9)
    weight = system.get_submodule("generator")[1].weight  # type: ignore[index]
    expected = weight.detach().clone()
    for step in range(60):
        with torch.no_grad():
            weight.add_(1.0)
        ema.update(system, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(ema.shadow["generator.1.weight"], expected)


def test_only_what_ships_is_averaged(tiny_system: Tiny) -> None:
    system, _ = tiny_system("cut")
    assert {name.partition(".")[0] for name in shipped_names(system)} == {"generator"}
    system, _ = tiny_system("nice_gan")
    parts = {name for name in shipped_names(system) if name.startswith("critic_a")}
    assert parts
    assert all(name.startswith("critic_a.encoder") for name in parts)


def test_buffers_are_copied_and_not_averaged(tiny_system: Tiny) -> None:
    """Averaged, the vectors of spectral norm would not be of length one, and all weights would ship too large."""
    system, batch = tiny_system("nice_gan")
    ema = Ema(system, 0.999)
    for step in range(3):
        system.phases()[0].losses(batch, None)  # type: ignore[arg-type]
        ema.update(system, step)
    state = system.state_dict()
    vectors = [name for name in ema.shadow if name.endswith("._u")]
    assert vectors
    for name in vectors:
        assert torch.equal(ema.shadow[name], state[name])


def test_the_average_is_applied_within_the_block_only(tiny_system: Tiny) -> None:
    system, _ = tiny_system("pix2pix")
    ema = Ema(system, 0.5)
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    for tensor in ema.shadow.values():
        tensor.zero_()
    with ema.applied(system):
        state = system.state_dict()
        assert all(not state[name].any() for name in ema.shadow)
        assert torch.equal(state["critic.0.weight"], before["critic.0.weight"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in system.state_dict().items())


def test_the_checkpoint_holds_the_average_and_without_one_the_last_weights(
    tiny_trainer: Callable[..., Trainer]
) -> None:
    from safetensors.torch import load_file

    for decay in (0.999, 0.0):
        trainer = tiny_trainer("cut", f"run{decay}", ema=decay)
        for batch in trainer.batches():
            trainer.train_step(batch)
        trainer.save()
        saved = load_file(trainer.folder / "checkpoint.safetensors")
        last = trainer.system.state_dict()
        assert all(torch.equal(tensor, last[name]) for name, tensor in saved.items()) == (decay == 0.0)
