"""Which pictures each critic is shown, learned by running every phase once on a copy of the system.

Systems call `self.augment` on all that a critic sees, and the losses of `models/losses/adversarial.py` on its logits.
Between the two stands autograd's graph: it says which picture a logit judges, so no system needs to say it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.nn.modules.module import register_module_forward_pre_hook

from models.losses.verdicts import Verdict, witnessed
from models.system import Batch, Clock, System


@dataclass(frozen=True)
class Judged:
    """The critic's loss number `index` of a phase compares these calls of `augment` within the phase."""

    index: int
    real: tuple[int, ...]
    fake: tuple[int, ...]
    boundary: float | None


@dataclass(frozen=True)
class Script:
    """What a phase does with pictures."""

    calls: int  # of `augment`
    verdicts: int  # of critics, of pictures or not
    judged: tuple[Judged, ...]  # those of pictures
    told: frozenset[int]  # calls whose critic is given more than the picture: a class, masks
    fields: dict[int, str]  # the field of the batch that a call was given as it is


class _Marking:
    """An augmentation that gives every picture a storage of its own, at which the graph begins."""

    def __init__(self, batch: Batch) -> None:
        pictures = {field.name: getattr(batch, field.name) for field in fields(batch)}
        self.batch = {(_address(picture), picture.shape): name for name, picture in pictures.items()}
        self.fields: dict[int, str] = {}
        self.marks: dict[int, int] = {}  # address of the storage → number of the call
        self.nodes: dict[Node, int] = {}  # the same of pictures with a past
        self.calls = 0
        self.kept: list[Tensor] = []  # alive, so that no address is used twice

    def __call__(self, image: Tensor) -> Tensor:
        return self._marked(image, self._next())

    def pair(self, condition: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        number = self._next()
        return self._marked(condition, number), self._marked(image, number)

    def _next(self) -> int:
        self.calls += 1
        return self.calls - 1

    def _marked(self, image: Tensor, number: int) -> Tensor:
        if name := self.batch.get((_address(image), image.shape)):
            self.fields[number] = name
        # A generator's phase differentiates through the picture; elsewhere the picture is where the graph begins.
        marked = image.clone() if image.requires_grad else image.detach().clone().requires_grad_()
        self.marks[_address(marked)] = number
        if marked.grad_fn is not None:
            self.nodes[marked.grad_fn] = number
        self.kept.append(marked)
        return marked

    def of(self, logits: Tensor) -> tuple[int, ...]:
        """The calls whose pictures the logits depend on."""
        found = set()
        for node in _graph(logits):
            variable = getattr(node, "variable", None)  # of a leaf's node
            number = self.nodes.get(node) if variable is None else self.marks.get(_address(variable))
            found |= set() if number is None else {number}
        return tuple(sorted(found))

    def judged(self, index: int, verdict: Verdict) -> Judged:
        return Judged(index, self.of(verdict.real), self.of(verdict.fake), verdict.boundary)


def rehearse(system: System, batch: Batch) -> dict[str, Script]:
    """The script of every phase, by its name; the system and the random numbers stay as they are."""
    with torch.random.fork_rng():
        stand_in = copy.deepcopy(system)
        scripts = {}
        for phase in stand_in.phases():
            marking = _Marking(batch)
            stand_in.augment = marking
            told: set[int] = set()
            hook = register_module_forward_pre_hook(lambda _, given, m=marking, t=told: t.update(_told(m, given)))
            try:
                with witnessed() as verdicts:
                    phase.losses(batch, Clock())
            finally:
                hook.remove()
            found = [marking.judged(k, verdict) for k, verdict in enumerate(verdicts)]
            seen = tuple(each for each in found if each.real and each.fake)
            scripts[phase.name] = Script(marking.calls, len(verdicts), seen, frozenset(told), marking.fields)
    return scripts


def _told(marking: _Marking, given: tuple[object, ...]) -> Iterator[int]:
    """The call whose picture a module is given beside another tensor of as many samples."""
    tensors = [value for value in given if isinstance(value, Tensor) and value.ndim]
    for picture in tensors[:1]:
        number = marking.marks.get(_address(picture))
        if number is not None and any(len(other) == len(picture) for other in tensors[1:]):
            yield number


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _graph(tensor: Tensor) -> set[Node]:
    """All nodes of the graph that made a tensor."""
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return seen
