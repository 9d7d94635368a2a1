"""Learning-rate factors as pure functions of the training clock."""

from __future__ import annotations

from models.system import Clock


def linear_decay(clock: Clock, constant: float = 0.5) -> float:
    """1 for the first `constant` share of training, then linear to 0 at its end (CycleGAN: 100 + 100 epochs)."""
    if clock.fraction <= constant:
        return 1.0
    return (1.0 - clock.fraction) / (1.0 - constant)


def halving(clock: Clock, every_kimg: float) -> float:
    """1, halved after each `every_kimg` (MUNIT)."""
    return float(0.5 ** int(clock.kimg / every_kimg))
