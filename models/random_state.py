"""The state of torch's random numbers, on the CPU and on every GPU."""

from __future__ import annotations

from typing import Any

import torch


def random_state() -> dict[str, Any]:
    """To be kept and set again."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing from a kept state."""
    torch.set_rng_state(state["cpu"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
