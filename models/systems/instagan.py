"""InstaGAN: unpaired translation of an image together with the masks of its instances, a few of them at a time.

Paper: Mo et al., "InstaGAN: Instance-aware Image-to-Image Translation", ICLR 2019.
Differs from the paper: a pass makes the passes before it anew, without gradients, instead of keeping their result;
their generator has moved by one step since. Every slot runs and empty ones are multiplied by 0, where the code skips
them. The context's weight is not differentiated, or masks would grow to be rid of the loss. `skip` (default off) lets a
generator add to its image instead of drawing it anew, where all but the instances stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.image_pool import ImagePool
from models.blocks.init import init_normal
from models.data.batches import TwoSets
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.losses.context import context_loss, outside
from models.networks.set_networks import SetCritic, SetGenerator, SetStep, is_present
from models.schedules import linear_decay
from models.system import Clock, Control, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config:
    """Paper settings."""

    channels: int = 3
    width: int = 64
    blocks: int = 9
    skip: bool = False
    critic_width: int = 64
    instances: int = 4  # of an image in training, the greatest ones
    slots: int = 2  # of them in a pass, and in what ships
    gan: str = "lsgan"
    lambda_gan: float = 1.0
    lambda_cycle: float = 10.0
    lambda_identity: float = 10.0
    lambda_context: float = 10.0
    pool_size: int = 50
    lr: float = 2e-4
    beta1: float = 0.5
    constant: float = 0.5  # share of training before the learning rate decays


@dataclass(frozen=True)
class Scene:
    """Where the sequence of passes stands: images, the masks of this pass, and the masks already translated."""

    image: Tensor  # (N, C, H, W), without gradients
    masks: Tensor  # (N, slots, H, W)
    done: Tensor  # (N, slots · passes before, H, W), without gradients
    done_present: Tensor  # (N, slots · passes before)


class InstaGan(System):
    """generator_ab and generator_ba translate sets; critic_a and critic_b judge an image with all its masks so far."""

    config = Config
    data = "instances"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.slots < 1 or cfg.instances % cfg.slots:
            raise ConfigError(f"instances = {cfg.instances} must be a multiple of slots = {cfg.slots}")
        self.generator_ab, self.generator_ba = (
            SetGenerator(cfg.channels, cfg.width, cfg.blocks, cfg.skip) for _ in range(2)
        )
        self.critic_a, self.critic_b = (SetCritic(cfg.channels, cfg.critic_width) for _ in range(2))
        self.pool_a, self.pool_b = ImagePool(cfg.pool_size), ImagePool(cfg.pool_size)
        self.game = adversarial(cfg.gan)
        for generator in (self.generator_ab, self.generator_ba):
            init_normal(generator)
            if cfg.skip:
                generator.start_still()

    def phases(self) -> list[Phase]:
        phases = []
        for turn in range(self.cfg.instances // self.cfg.slots):
            phases += [
                Phase(f"G_{turn + 1}", (self.generator_ab, self.generator_ba), partial(self.g_losses, turn=turn)),
                Phase(f"D_{turn + 1}", (self.critic_a, self.critic_b), partial(self.d_losses, turn=turn)),
            ]
        return phases

    def of_turn(self, masks: Tensor, turn: int) -> Tensor:
        """The masks of one pass."""
        slots = self.cfg.slots
        return masks[:, turn * slots : (turn + 1) * slots]

    @torch.no_grad()
    def scene(self, generator: nn.Module, image: Tensor, masks: Tensor, turn: int) -> Scene:
        """What pass number `turn` (from 0) starts from."""
        done: list[Tensor] = [masks[:, :0]]
        for earlier in range(turn):
            own = self.of_turn(masks, earlier)
            image, translated = generator(image, own, is_present(own))
            done.append(translated)
        held = is_present(masks[:, : turn * self.cfg.slots])
        return Scene(image, self.of_turn(masks, turn), torch.cat(done, dim=1), held)

    def g_losses(self, batch: TwoSets, _: Clock, turn: int) -> Losses:
        scene_a = self.scene(self.generator_ab, batch.a, batch.masks_a, turn)
        scene_b = self.scene(self.generator_ba, batch.b, batch.masks_b, turn)
        there, back = self.generator_ab, self.generator_ba
        ab = self.one_way((there, back), scene_a, self.critic_b, self.pool_b)
        ba = self.one_way((back, there), scene_b, self.critic_a, self.pool_a)
        return {f"{name}_ab": loss for name, loss in ab.items()} | {f"{name}_ba": loss for name, loss in ba.items()}

    def one_way(
        self, generators: tuple[nn.Module, nn.Module], scene: Scene, critic: nn.Module, pool: ImagePool
    ) -> Losses:
        """All losses of one pass in one direction."""
        (there, back), cfg, present = generators, self.cfg, is_present(scene.masks)
        fake, fake_masks = there(scene.image, scene.masks, present)
        again, masks_again = back(fake, fake_masks, present)
        same, same_masks = back(scene.image, scene.masks, present)
        all_masks = torch.cat([scene.done, fake_masks], dim=1)
        all_present = torch.cat([scene.done_present, present], dim=1)
        pool.push(self.packed(fake, all_masks, all_present))
        cycle = F.l1_loss(again, scene.image) + F.l1_loss(masks_again, scene.masks)
        identity = F.l1_loss(same, scene.image) + F.l1_loss(same_masks, scene.masks)
        weight = outside(scene.masks, fake_masks)
        return {
            "gan": cfg.lambda_gan * self.game.g(critic(self.augment(fake), all_masks, all_present)),
            "cycle": cfg.lambda_cycle * cycle,
            "identity": cfg.lambda_identity * identity,
            "context": cfg.lambda_context * context_loss(scene.image, fake, weight),
        }

    def packed(self, image: Tensor, masks: Tensor, present: Tensor) -> Tensor:
        """An image, its masks and which of them there are, as one tensor for the pool; missing slots are empty."""
        missing = self.cfg.instances - masks.shape[1]
        masks = torch.cat([masks, masks.new_full((len(masks), missing, *masks.shape[2:]), -1.0)], dim=1)
        present = F.pad(present, (0, missing))
        return torch.cat([image, masks, present[:, :, None, None].expand_as(masks)], dim=1)

    def d_losses(self, batch: TwoSets, _: Clock, turn: int) -> Losses:
        return {
            "gan_a": self.d_loss(self.critic_a, batch.a, batch.masks_a, (self.pool_a, turn)),
            "gan_b": self.d_loss(self.critic_b, batch.b, batch.masks_b, (self.pool_b, turn)),
        }

    def d_loss(self, critic: nn.Module, image: Tensor, masks: Tensor, drawn: tuple[ImagePool, int]) -> Tensor:
        """Half the game between real images with as many masks as passes have shown, and fakes of the pool."""
        pool, turn = drawn
        shown = masks[:, : (turn + 1) * self.cfg.slots]
        parts = [self.cfg.channels, self.cfg.instances, self.cfg.instances]
        fake, fake_masks, maps = torch.split(pool.draw(), parts, dim=1)
        real_logits = critic(self.augment(image), shown, is_present(shown))
        return 0.5 * self.game.d(real_logits, critic(self.augment(fake), fake_masks, maps[:, :, 0, 0]))

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        masks = Control("masks", "mask", (1, self.cfg.slots, 0, 0), -1.0, 1.0)
        decisions = (("empty masks", "those without a pixel above 0"),)
        return {
            name: Deployable(SetStep(generator), self.cfg.channels, (masks,), ("image", "mask"), multiple=4,
                             decisions=decisions)
            for name, generator in (("ab", self.generator_ab), ("ba", self.generator_ba))
        }  # fmt: skip

    @torch.no_grad()
    def samples(self, batch: TwoSets) -> dict[str, Tensor]:
        rows, image = {"a": batch.a, "masks of a": union(batch.masks_a, batch.a)}, batch.a
        done = []
        for turn in range(self.cfg.instances // self.cfg.slots):
            own = self.of_turn(batch.masks_a, turn)
            image, translated = self.generator_ab(image, own, is_present(own))
            done.append(translated)
            rows[f"pass {turn + 1}"] = image
        return rows | {"masks translated": union(torch.cat(done, dim=1), batch.a)}


def union(masks: Tensor, like: Tensor) -> Tensor:
    """All masks in one picture, as many channels as `like`."""
    return (1 - 2 * outside(masks)).expand_as(like)
