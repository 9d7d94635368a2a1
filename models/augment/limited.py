"""What a recipe's limited-data switches do at every step, around systems that know nothing of it.

ADA stands in front of every critic. In the critics' phases, whose pictures the rehearsal has told apart, APA exchanges
real pictures, and LeCam and consistency regularisation add terms to the losses. One p serves all critics of a system.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from models.augment.ada import Ada, strengths
from models.augment.alike import Change, consistency_term, cyclic_term
from models.augment.anchors import Anchors
from models.augment.apa import PseudoReal
from models.augment.augment import Augment
from models.augment.front import Edit, Front, as_they_are
from models.augment.overfitting import Controller, sureness
from models.augment.rehearsal import Script, rehearse
from models.augment.switches import refusal
from models.errors import ConfigError, ModelsError
from models.losses.limited import lecam
from models.losses.verdicts import Verdict, witnessed
from models.random_state import random_state, set_random_state
from models.recipe import TrainConfig
from models.system import Batch, Clock, Losses, Phase, System

SHARE = 1 / 50  # of a training, in which p could go from 0 to 1: the paper's 500 of 25 000 kimg
SETS_WEIGHTS = ("tuigan",)  # while losses are computed: autograd refuses a second run before the backward pass
Mean = Callable[[Tensor], Tensor]  # over all processes


class LimitedData:
    """The switches in use, and their state: p, running means of logits, the pictures that APA keeps."""

    def __init__(self, cfg: TrainConfig, system: System, mean: Mean) -> None:
        self.cfg, self.system, self.mean = cfg, system, mean
        self.scripts: dict[str, Script] = {}
        self.front = Front()
        images = 1000 * (cfg.ada_kimg or SHARE * cfg.total_kimg)
        self.controller = Controller(cfg.ada_target, images, cfg.ada_max, cfg.ada_p)
        self.anchors = Anchors(cfg.lecam_decay)
        self.pseudo = PseudoReal()

    def watched(self, batch: Batch) -> list[Phase]:
        """The system's phases with what the switches add, learned on a batch; raises ConfigError."""
        if not self.cfg.any():
            return self.system.phases()
        self.scripts = rehearse(self.system, batch)
        label = getattr(batch, "label", None)
        labelled = label is not None and label.ndim < 3  # of whole pictures; a map of classes is another matter
        reason = refusal(self.cfg, self.scripts, labelled, bool(self._ways()))
        if not reason and self.cfg.consistent and self.cfg.system in SETS_WEIGHTS:
            reason = "it sets weights as a scale begins, so its phases cannot be run twice in a step (consistency)"
        if reason:
            raise ConfigError(f"limited-data switches do not suit {self.cfg.system}: {reason}")
        return [replace(phase, losses=partial(self.losses, phase)) for phase in self.system.phases()]

    def before_critics(self, augment: Augment) -> Augment:
        """What the system augments with in the coming step, given what the recipe asks for beside the switches."""
        if not self.cfg.any():
            return augment
        self.front.augmentations = (Ada(strengths(self.cfg.ada), self.controller.p), augment)
        return self.front

    def losses(self, phase: Phase, batch: Batch, clock: Clock) -> Losses:
        """The phase's losses, and the terms of the switches."""
        cfg, script = self.cfg, self.scripts[phase.name]
        start = random_state() if cfg.consistent and script.judged else {}
        swap = self.pseudo.edit(phase.name, script, self.controller.p) if cfg.apa else as_they_are
        losses, verdicts = self._run((phase, batch, clock), swap)
        if not verdicts:
            return losses
        if cfg.lecam:
            losses["lecam"] = cfg.lecam * self._lecam(phase.name, verdicts)
        if cfg.consistent:
            with torch.random.fork_rng():
                term = self._consistency((phase, batch, clock), verdicts, (swap, start))
            losses["consistency"] = cfg.lambda_consistency * term
        self.pseudo.keep()
        if cfg.adaptive:
            turns = sum(bool(script.judged) for script in self.scripts.values())  # of critics in a step
            self.controller.observe(sureness(verdicts), cfg.batch / turns, self.mean)
        return losses

    def log(self) -> dict[str, Tensor]:
        """Scalars for the run's log."""
        known = {"augment/p": self.controller.p, "augment/r": self.controller.r} if self.cfg.adaptive else {}
        return {name: torch.tensor(value) for name, value in known.items()}

    def state(self) -> dict[str, Any]:
        """To be saved: this process's own."""
        controller = {"p": self.controller.p, "r": self.controller.r, "pending": list(self.controller.pending)}
        return {"controller": controller, "anchors": self.anchors.state(), "pseudo": self.pseudo.kept}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; an empty one is a beginning."""
        if state:
            for name, value in state["controller"].items():
                setattr(self.controller, name, value)
            self.anchors.load(state["anchors"])
            self.pseudo.kept = dict(state["pseudo"])

    def _run(
        self, turn: tuple[Phase, Batch, Clock], before: Edit, behind: Edit = as_they_are
    ) -> tuple[Losses, list[Verdict]]:
        """A phase's losses with the pictures edited, and what its critics said of pictures."""
        phase, batch, clock = turn
        script = self.scripts[phase.name]
        self.front.begin(before, behind)
        with witnessed() as verdicts:
            losses = phase.losses(batch, clock)
        if script.judged and (self.front.calls, len(verdicts)) != (script.calls, script.verdicts):
            raise ModelsError(
                f"phase {phase.name} of {self.cfg.system} showed its critics {self.front.calls} batches of pictures, "
                f"not {script.calls} as in the rehearsal: switch limited-data settings off for it"
            )
        return losses, [verdicts[each.index] for each in script.judged]

    def _lecam(self, phase: str, verdicts: Sequence[Verdict]) -> Tensor:
        terms = []
        for number, verdict in enumerate(verdicts):
            real, fake = verdict.real.float(), verdict.fake.float()
            means = self.mean(torch.stack([real.detach().mean(), fake.detach().mean()]))
            terms.append(lecam(real, fake, *self.anchors.update(f"{phase}/{number}", means)))
        return torch.stack(terms).sum()

    def _consistency(
        self, turn: tuple[Phase, Batch, Clock], verdicts: Sequence[Verdict], course: tuple[Edit, dict[str, Any]]
    ) -> Tensor:
        """CR, bCR or ACCR of a phase that has been run in the course of (exchange of pictures, random numbers)."""
        phase, batch, clock = turn
        script, (swap, start) = self.scripts[phase.name], course

        def again(before: Edit, behind: Edit) -> list[Verdict]:
            set_random_state(start)
            return self._run(turn, lambda number, pictures: before(number, swap(number, pictures)), behind)[1]

        change = Change(self.cfg.seed, clock.step)
        term = consistency_term(self.cfg.consistency, script, verdicts, again, change)
        if self.cfg.consistency == "accr":
            there, back = self._ways()
            with torch.no_grad():
                returned = {"a": back(there(batch.a)), "b": there(back(batch.b))}  # type: ignore[attr-defined]
            term = term + cyclic_term(script, returned, again, change)
        return term

    def _ways(self) -> tuple[torch.nn.Module, ...]:
        """The generators A → B and B → A, where the system ships both and they take nothing else."""
        parts = self.system.deployables()
        ways = [parts[name] for name in ("ab", "ba") if name in parts and not parts[name].controls]
        return tuple(part.module for part in ways) if len(ways) == 2 else ()
