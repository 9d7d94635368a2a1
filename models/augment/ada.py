"""ADA: augmentations of everything a critic sees, with a probability p that follows its overfitting.

Paper: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020.
Differs from the paper: p stops at `ada_max`, 0.8 unless set, above which the paper saw augmentations leak into what is
generated; further differences stand in ada_geometry.py and ada_signal.py. R1 penalties see the augmented image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.augment.ada_geometry import draw_blit, draw_geometry
from models.augment.ada_signal import draw_color, draw_cutout, draw_filter, draw_noise
from models.augment.diffaugment import Op
from models.errors import ConfigError

# In the order in which they are applied.
CLASSES: dict[str, Callable[[Tensor, float], Op]] = {
    "blit": draw_blit,
    "geometry": draw_geometry,
    "color": draw_color,
    "filter": draw_filter,
    "noise": draw_noise,
    "cutout": draw_cutout,
}
SHARED = ("blit", "geometry", "cutout")  # by a condition and its image


def strengths(text: str) -> dict[str, float]:
    """ "blit,color:0.5" → {"blit": 1.0, "color": 0.5}: each class's factor on p; raises ConfigError."""
    found = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        name, colon, factor = word.partition(":")
        try:
            found[name] = float(factor) if colon else 1.0
        except ValueError:
            found[name] = -1.0
        if name not in CLASSES or not 0 <= found[name] <= 1:
            raise ConfigError(
                f"ada = {text!r}: {word!r} is no class of augmentations; there are {', '.join(CLASSES)}, each with a "
                "strength from 0 to 1 behind a colon if it is not 1"
            )
    return found


@dataclass(frozen=True)
class Ada:
    """The pipe at a probability p; see `models.augment.augment.Augment`. With p = 0 nothing is drawn or changed."""

    strengths: dict[str, float]
    p: float

    def __call__(self, image: Tensor) -> Tensor:
        for _, op in self._drawn(image):
            image = op(image)
        return image

    def pair(self, condition: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        for name, op in self._drawn(image):
            if name in SHARED:
                both = op(torch.cat([condition, image], dim=1))
                condition, image = both[:, : condition.shape[1]], both[:, condition.shape[1] :]
            else:
                image = op(image)
        return condition, image

    def _drawn(self, image: Tensor) -> list[tuple[str, Op]]:
        given = ((name, self.p * self.strengths.get(name, 0.0)) for name in CLASSES)
        return [(name, CLASSES[name](image, p)) for name, p in given if p > 0]
