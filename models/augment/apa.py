"""APA: with probability p a critic is shown a generated picture as a real one, lest it memorise the real ones.

Paper: Jiang et al., "Deceive D: Adaptive Pseudo Augmentation for GAN Training with Limited Data", NeurIPS 2021.
Differs from the paper: the generated pictures are those that the critic's own phase showed it a step before, with
their conditions where it is conditional; for systems with a pool of past fakes they come from there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.augment.front import Edit, Pictures
from models.augment.rehearsal import Script


class PseudoReal:
    """Keeps each critic's last generated pictures and puts some of them among the real ones."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Tensor]] = {}  # by phase and call: the image, and its condition if there is one
        self._fresh: dict[str, list[Tensor]] = {}

    def edit(self, phase: str, script: Script, p: float) -> Edit:
        """The exchange within a phase; with p = 0 nothing is drawn and pictures pass as they are."""
        partner = {each.real[0]: each.fake[0] for each in script.judged}
        fakes = set(partner.values())

        def exchanged(number: int, pictures: Pictures) -> Pictures:
            condition, image = pictures
            if number in fakes:
                given = [image] if condition is None else [image, condition]
                self._fresh[f"{phase}/{number}"] = [picture.detach() for picture in given]
            kept = self.kept.get(f"{phase}/{partner.get(number)}")
            if p == 0 or kept is None or kept[0].shape != image.shape:
                return pictures
            chosen = (torch.rand(len(image), device=image.device) < p).view(-1, 1, 1, 1)
            other = None if condition is None else torch.where(chosen, kept[1], condition)
            return other, torch.where(chosen, kept[0], image)

        return exchanged

    def keep(self) -> None:
        """The phase is over: what it generated may stand for real pictures in the next step."""
        self.kept |= self._fresh
        self._fresh = {}
