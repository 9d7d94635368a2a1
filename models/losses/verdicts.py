"""Lets who trains see the logits of a game while its critic's loss is computed, without a word in any system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps

from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]  # (real logits, fake logits) -> scalar


@dataclass(frozen=True)
class Verdict:
    """What one critic said of one batch; the logits carry their gradients."""

    real: Tensor
    fake: Tensor
    boundary: float | None  # the logit that tells neither real nor fake; None where the game has none


_list: ContextVar[list[Verdict] | None] = ContextVar("verdicts", default=None)


@contextmanager
def witnessed() -> Iterator[list[Verdict]]:
    """Within the block, the critics' losses of this thread leave their logits in the list, in order.

    A block within another tells the outer one at its end.
    """
    verdicts: list[Verdict] = []
    outer = _list.get()
    token = _list.set(verdicts)
    try:
        yield verdicts
    finally:
        _list.reset(token)
        if outer is not None:
            outer.extend(verdicts)


def judged(boundary: float | None) -> Callable[[Loss], Loss]:
    """Decorates the critic's side of a game; what it returns is untouched."""

    def decorate(loss: Loss) -> Loss:
        @wraps(loss)
        def seen(real: Tensor, fake: Tensor) -> Tensor:
            if (verdicts := _list.get()) is not None:
                verdicts.append(Verdict(real, fake, boundary))
            return loss(real, fake)

        return seen

    return decorate
