"""What systems call as `augment` when limited-data switches are on: it counts, exchanges and augments pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from models.augment.augment import Augment

Pictures = tuple[Tensor | None, Tensor]  # a conditional critic's condition, and the image
Edit = Callable[[int, Pictures], Pictures]  # given the number of the call within the phase


def as_they_are(number: int, pictures: Pictures) -> Pictures:
    """No edit."""
    return pictures


class Front:
    """An `Augment`: an edit, the augmentations in order, and another edit."""

    def __init__(self) -> None:
        self.augmentations: Sequence[Augment] = ()
        self.begin()

    def begin(self, before: Edit = as_they_are, behind: Edit = as_they_are) -> None:
        """A phase begins: calls are counted from 0."""
        self.calls, self.before, self.behind = 0, before, behind

    def __call__(self, image: Tensor) -> Tensor:
        return self._shown((None, image))[1]

    def pair(self, condition: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        shown, image = self._shown((condition, image))
        assert shown is not None
        return shown, image

    def _shown(self, pictures: Pictures) -> Pictures:
        number, self.calls = self.calls, self.calls + 1
        condition, image = self.before(number, pictures)
        for augment in self.augmentations:
            if condition is None:
                image = augment(image)
            else:
                condition, image = augment.pair(condition, image)
        return self.behind(number, (condition, image))
