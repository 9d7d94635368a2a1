"""The only training loop: phases in order, one optimiser per network, any number of processes, exact resuming."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from models.augment.limited import LimitedData
from models.checkpoint import save_checkpoint, shipped_weights
from models.compress.last_phase import LastPhase
from models.compress.placement import Placement
from models.data.datasets import Dataset, open_dataset, stack
from models.ema import Ema
from models.errors import CheckpointError, ConfigError, ModelsError
from models.networks.patch_critic import PatchCritic
from models.random_state import random_state, set_random_state
from models.recipe import Recipe, TrainConfig, make_recipe
from models.registry import system_class
from models.system import Batch, Clock, Phase, System

FIRST_LOOK = 64  # samples that `System.prepare` is shown
PATIENCE = 20  # consecutive non-finite steps before training gives up


class Divergence(ModelsError):
    """Losses or gradients stay non-finite."""


@dataclass
class Guard:
    """Counts steps of phases that were skipped because a loss or a gradient was not finite."""

    skipped: int = 0
    in_a_row: dict[str, int] = field(default_factory=dict)  # by phase: a sound one does not excuse another

    def admit(self, finite: bool, phase: str) -> bool:
        """Whether the optimiser may step; raises Divergence after PATIENCE refusals of a phase in a row."""
        self.in_a_row[phase] = 0 if finite else self.in_a_row.get(phase, 0) + 1
        self.skipped += not finite
        if self.in_a_row[phase] >= PATIENCE:
            raise Divergence(
                f"phase {phase} gave NaN or infinite gradients {PATIENCE} times in a row: lower the learning rate, "
                "or go on from an earlier checkpoint"
            )
        return finite


class Trainer:
    """One run: a recipe, its system, data and optimisers, and the folder it is kept in."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        cfg = recipe.train
        self.fabric = _open_fabric(cfg)
        self.recipe, self.folder = recipe, folder
        torch.manual_seed(cfg.seed)  # every process starts with the same weights
        kind = system_class(cfg.system)
        self.dataset = open_dataset(kind.data_kind(recipe.system), recipe.data, cfg.seed)
        self.system: System = kind(recipe.system)
        _check_size(self.system, recipe)
        if reason := self.system.refusal(cfg.batch // self.fabric.world_size):
            raise ConfigError(f"batch = {cfg.batch} does not suit {cfg.system}: {reason}")
        self.step = 0
        self.system.augment = recipe.augment(self.clock)
        samples = [self.dataset.sample(k) for k in range(FIRST_LOOK)]
        self.system.prepare(stack(samples))
        self.system.to(self.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.limited = LimitedData(cfg, self.system, self.mean)
        first = stack(samples[: max(1, cfg.batch // self.fabric.world_size)])
        self.phases = self.limited.watched(first.to(self.fabric.device))
        placement = Placement(ends=cfg.qat_ends, weight_bits=cfg.qat_weight_bits)
        self.last_phase = LastPhase(self.system, cfg.qat_after, placement, recipe.data.size)
        networks = dict.fromkeys(net for phase in self.phases for net in phase.updates)
        self.optimizers = {net: self.system.optimizer(net) for net in networks}
        self.base_lr = {net: [group["lr"] for group in opt.param_groups] for net, opt in self.optimizers.items()}
        self.ema = Ema(self.system, cfg.ema) if cfg.ema else None
        self.guard = Guard()
        torch.manual_seed(cfg.seed + 1000 * self.fabric.global_rank + 1)  # …and draws its own noise

    @property
    def total_steps(self) -> int:
        return self.recipe.train.steps

    @property
    def clock(self) -> Clock:
        """The clock at the coming step."""
        kimg = self.step * self.recipe.train.batch / 1000
        return Clock(self.step, kimg, self.recipe.train.total_kimg)

    def batches(self) -> Iterator[Batch]:
        """This process's share of every batch from the present step on, on its device."""
        cfg, fabric = self.recipe.train, self.fabric
        if cfg.batch % fabric.world_size:
            raise ModelsError(f"batch = {cfg.batch} cannot be shared by {fabric.world_size} processes")
        share = cfg.batch // fabric.world_size
        firsts = (s * cfg.batch + fabric.global_rank * share for s in range(self.step, self.total_steps))
        # The loader draws a seed; from a generator of its own, or resuming would shift the training's noise.
        loader = DataLoader(
            _Indexed(self.dataset), batch_sampler=([*range(k, k + share)] for k in firsts), collate_fn=stack,
            num_workers=cfg.workers, persistent_workers=cfg.workers > 0, generator=torch.Generator(),
        )  # fmt: skip
        for batch in loader:
            yield batch.to(fabric.device)

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """Run every phase that is due; returns losses by "phase/name" (not synchronised with the device)."""
        clock = self.clock
        self.system.augment = self.limited.before_critics(self.recipe.augment(clock))
        for network, optimizer in self.optimizers.items():
            factor = self.system.learning_rate(network, clock)
            for group, lr in zip(optimizer.param_groups, self.base_lr[network], strict=True):
                group["lr"] = lr * factor
        observed = self.last_phase.begin(clock)
        log: dict[str, Tensor] = {}
        for phase in self.phases:
            if phase.when(clock):
                log |= run_phase(phase, self.optimizers, (batch, clock), self.fabric, self.guard)
        _average(observed, self.fabric)
        if self.ema:
            self.ema.update(self.system, self.step)
        self.step += 1
        return log | self.limited.log()

    def samples(self) -> dict[str, Tensor]:
        """Rows for the sample grid, made with the weights that would ship and with the same noise every time."""
        batch = stack([self.dataset.sample(k) for k in range(self.recipe.train.grid_images)])
        self.system.eval()
        with torch.random.fork_rng(), self.ema.applied(self.system) if self.ema else nullcontext():
            torch.manual_seed(self.recipe.train.seed)
            rows = self.system.samples(batch.to(self.fabric.device))
        self.system.train()
        return rows

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes; all of them must ask."""
        if self.fabric.world_size == 1:
            return value
        shared: Tensor = self.fabric.all_reduce(value, reduce_op="mean")  # type: ignore[assignment]
        return shared

    def any_process(self, flag: bool) -> bool:
        """Whether `flag` is set in any process; all of them must ask."""
        return bool(self.mean(torch.tensor(float(flag), device=self.fabric.device)))

    def save(self) -> None:
        """Write checkpoint.safetensors and training.pt, each whole or not at all. Every process must call it."""
        own = {"random": random_state(), "extra": _extra_state(self.system), "limited": self.limited.state()}
        processes = _gathered(own, self.fabric.world_size)
        if not self.fabric.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        cfg = self.recipe.train
        weights = self.ema.shadow if self.ema else shipped_weights(self.system)
        save_checkpoint(self.folder / "checkpoint.safetensors", self.system, cfg.system, self.clock.kimg, weights)
        state = {
            "recipe": self.recipe.flat(), "step": self.step, "system": self.system.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers.values()],
            "ema": self.ema.shadow if self.ema else {}, "processes": processes, "skipped": self.guard.skipped,
        }  # fmt: skip
        partial = self.folder / "training.pt.tmp"
        torch.save(state, partial)
        os.replace(partial, self.folder / "training.pt")

    def resume(self) -> bool:
        """Go on where training.pt stopped, if there is one; the numbers are those of an uninterrupted run.

        Raises:
            CheckpointError: the file is damaged, or the run had other settings.
        """
        path = self.folder / "training.pt"
        if not path.exists():
            return False
        try:
            state = torch.load(path, map_location=self.fabric.device, weights_only=True)
        except Exception as error:  # torch raises several unrelated types
            raise CheckpointError(f"{path} is damaged ({error}); remove it to start again") from error
        self._same_settings(state["recipe"])
        # Image pools and random numbers are each process's own.
        processes = state.get("processes") or [{"random": state["random"], "extra": {}}]
        if len(processes) != self.fabric.world_size:
            raise CheckpointError(
                f"{path} is of {len(processes)} processes, not {self.fabric.world_size}: go on with as many"
            )
        own = processes[self.fabric.global_rank]
        self.system.load_state_dict(state["system"] | own["extra"])
        for optimizer, saved in zip(self.optimizers.values(), state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.ema:
            self.ema.shadow = state["ema"]
        self.step, self.guard.skipped = state["step"], state.get("skipped", 0)
        self.limited.load(own.get("limited", {}))
        set_random_state(own["random"])
        return True

    def _same_settings(self, before: dict[str, Any]) -> None:
        free = {"total_kimg", "workers", "log_every", "save_every_kimg", "grid_every_kimg", "grid_images",
                "accelerator", "cache_mib", "data", "data_a", "data_b"}  # fmt: skip
        # Settings that are younger than the run had their defaults in it.
        before = make_recipe({"system": self.recipe.train.system}).flat() | before
        for name, value in self.recipe.flat().items():
            if name not in free and before[name] != value:
                raise CheckpointError(
                    f"{self.folder} holds a run with {name} = {before[name]!r}, not {value!r}: "
                    "give another --out, or the same settings to go on"
                )


def run_phase(
    phase: Phase, optimizers: dict[nn.Module, Optimizer], given: tuple[Batch, Clock], fabric: Fabric, guard: Guard
) -> dict[str, Tensor]:
    """Losses, gradients of this phase's networks only, averaged over processes; then one step of their optimisers."""
    with fabric.autocast():
        losses = phase.losses(*given)
    parameters = [p for net in phase.updates for p in net.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.grad = None
    total = torch.stack([loss.float() for loss in losses.values()]).sum()
    torch.autograd.backward(total, inputs=parameters)
    # One number says whether all is finite, the losses too; every process computes the same one.
    results = [total.detach(), *(p.grad for p in parameters if p.grad is not None)]
    _average(results, fabric)
    size = torch.stack(torch._foreach_norm(results)).sum()
    if guard.admit(bool(torch.isfinite(size)), phase.name):
        for network in phase.updates:
            optimizers[network].step()
        if phase.after:
            phase.after()
    return {f"{phase.name}/{name}": loss.detach() for name, loss in losses.items()}


def _average(tensors: list[Tensor], fabric: Fabric) -> None:
    if fabric.world_size == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    mean: Tensor = fabric.all_reduce(flat, reduce_op="mean")  # type: ignore[assignment]
    for tensor, part in zip(tensors, torch.split(mean, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def _open_fabric(cfg: TrainConfig) -> Fabric:
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    try:
        fabric = Fabric(
            accelerator=cfg.accelerator, devices=processes, precision=cfg.precision,  # type: ignore[arg-type]
            strategy="ddp" if processes > 1 else "auto",
        )  # fmt: skip
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"accelerator {cfg.accelerator!r}, precision {cfg.precision!r}: {error}") from error
    fabric.launch()
    return fabric


def _check_size(system: System, recipe: Recipe) -> None:
    size = recipe.data.size
    for part in system.deployables().values():
        if reason := part.refusal(size, size):
            raise ConfigError(f"size = {size} does not suit {recipe.train.system}: {reason}")
    least = max((part.least_size for part in system.modules() if isinstance(part, PatchCritic)), default=0)
    if size < least:
        raise ConfigError(
            f"size = {size} does not suit {recipe.train.system}: its PatchGAN takes crops from {least} px; raise size, "
            "or lower critic_field"
        )


class _Indexed(TorchDataset[Batch]):
    """torch's map-style view of a dataset's endless sequence."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, k: int) -> Batch:
        return self.dataset.sample(k)


def _extra_state(system: System) -> dict[str, Any]:
    return {name: value for name, value in system.state_dict().items() if name.endswith("_extra_state")}


def _gathered(own: dict[str, Any], processes: int) -> list[dict[str, Any]]:
    """Every process's `own`, in the order of their ranks."""
    if processes == 1:
        return [own]
    every: list[Any] = [None] * processes
    torch.distributed.all_gather_object(every, own)
    return every
