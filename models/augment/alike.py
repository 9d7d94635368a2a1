"""Consistency regularisation: a critic shall say of a mirrored, shifted picture what it said of the picture.

Papers: CR of real pictures, Zhang et al., ICLR 2020; bCR of generated ones too, Zhao et al., AAAI 2021; ACCR of
pictures translated there and back too, Ohkawa et al., 2020. A phase is run again on changed pictures with the same
random numbers, which costs a critic's pass each, and what the phase computes besides.
Differs from the papers: a PatchGAN's map is mirrored back and compared place by place; one weight for all parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from models.augment.front import Edit, Pictures, as_they_are
from models.augment.mirrored import Mirrored, draw_mirrored
from models.augment.rehearsal import Script
from models.losses.limited import consistency
from models.losses.verdicts import Verdict

Again = Callable[[Edit, Edit], list[Verdict]]  # runs the phase with edits before and behind the augmentation


class Change:
    """An edit that mirrors and shifts every picture, the same way whenever the same call of the same step is edited."""

    def __init__(self, *seed: int) -> None:
        self.seed = seed
        self.drawn: dict[int, Mirrored] = {}

    def __call__(self, number: int, pictures: Pictures) -> Pictures:
        condition, image = pictures
        if number not in self.drawn:
            with torch.random.fork_rng():
                torch.manual_seed(int(np.random.SeedSequence((*self.seed, number)).generate_state(1)[0]))
                self.drawn[number] = draw_mirrored(image)
        change = self.drawn[number]
        return None if condition is None else change(condition), change(image)


def consistency_term(kind: str, script: Script, verdicts: Sequence[Verdict], again: Again, change: Change) -> Tensor:
    """CR ("cr") or bCR ("bcr", "accr") of a phase, summed over its critics, before the weight."""
    changed = again(as_they_are, change)
    terms = []
    for each, first, second in zip(script.judged, verdicts, changed, strict=True):
        terms.append(consistency(first.real, change.drawn[each.real[0]].back(second.real)))
        if kind != "cr":
            terms.append(consistency(first.fake, change.drawn[each.fake[0]].back(second.fake)))
    return torch.stack(terms).sum()


def cyclic_term(script: Script, returned: dict[str, Tensor], again: Again, change: Change) -> Tensor:
    """ACCR's further part: the same of pictures of each domain (by the batch's field) that were there and back."""
    fields = {each.real[0]: script.fields[each.real[0]] for each in script.judged}

    def there_and_back(number: int, pictures: Pictures) -> Pictures:
        return (None, returned[fields[number]]) if number in fields else pictures

    pairs = zip(script.judged, again(there_and_back, as_they_are), again(there_and_back, change), strict=True)
    terms = [consistency(first.real, change.drawn[each.real[0]].back(second.real)) for each, first, second in pairs]
    return torch.stack(terms).sum()
