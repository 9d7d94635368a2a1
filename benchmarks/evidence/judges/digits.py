"""Digits out of noise, in pairs, and from another domain's: what a classifier of real digits makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.evidence.classifiers import DigitNet, accuracy, digit_classifier, predicted
from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.judges.paired import shipped
from benchmarks.evidence.measures import entropy, mutual_information
from benchmarks.evidence.pictures import drawn, run, whole
from benchmarks.parzen import best_sigma, log_likelihoods
from benchmarks.quality.frechet import frechet
from benchmarks.quality.memorisation import nearest
from models.data.arrays import read_labels
from models.data.places import only_side, sides
from models.system import System

MADE = 1000
JUDGED = 300  # digits of each of the two Parzen sets
SURE = 0.9  # of a class, to count as a digit
SHOWN = 10
COPIED = "nearest_training"  # which says nothing of the training digits themselves


def read(where: str, case: Case) -> tuple[Tensor, Tensor]:
    """Digits and their classes."""
    return whole(where, case.recipe.data), torch.from_numpy(read_labels(Path(where)))


def points(images: Tensor) -> Tensor:
    """(N, C, H, W) in [-1, 1] → (N, D) in [0, 1]."""
    return (images.flatten(1) + 1) / 2


class DigitsJudge:
    """Pictures made of noise beside held-out digits."""

    measured: ClassVar[str] = (
        "made digits: Fréchet distance to 1000 held-out MNIST digits on the 64 features of a small classifier of "
        "ours (not FID), share of which it is surer than 0.9, entropy of the classes (log2 10 = 3.32 bits), Parzen "
        "log-likelihood of held-out digits (nats), RMS difference to the nearest training digit (0 = copied; held-out "
        "digits: see context); with a class asked for, the share that is of it. Identity is uniform noise as a picture"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"distance": ("low", 0.5), "log_likelihood": ("high", 10.0)}

    def __init__(self, case: Case) -> None:
        self.train, labels = read(str(only_side(case.recipe.data)), case)
        self.valid, _ = read(case.task.held_out[0], case)
        self.test, self.labels = read(case.task.held_out[1], case)
        self.classifier: DigitNet = digit_classifier(self.train, labels)

    @property
    def count(self) -> int:
        return MADE

    def made(self, system: System | None) -> tuple[Tensor, Tensor]:
        """Pictures, and the class that was asked for (all 0 where none can be)."""
        asked = torch.arange(MADE) % 10
        if system is None:
            return torch.rand(MADE, *self.test.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1, asked
        part = shipped(system)
        controls = [F.one_hot(asked, 10).float() if c.kind == "label" else drawn(c, MADE, 1) for c in part.controls]
        return run(part, asked, *controls), asked

    def figures(self, system: System | None) -> Figures:
        images, asked = self.made(system)
        found = self.of(images)
        if system and any(control.kind == "label" for control in shipped(system).controls):
            found["of_asked_class"] = accuracy(self.classifier, images, asked)
        return found

    def of(self, images: Tensor) -> Figures:
        """The figures of pictures, from wherever they are."""
        chance = self.classifier.logits(images).softmax(dim=1)
        vectors = [self.classifier.features(x).double().numpy() for x in (images, self.test)]
        sigma = best_sigma(points(self.valid[:JUDGED]), points(images))
        return {
            "distance": frechet(*vectors),
            "sure": float((chance.amax(dim=1) > SURE).float().mean()),
            "class_entropy": entropy(np.bincount(chance.argmax(dim=1).numpy(), minlength=10).astype(np.float64)),
            "log_likelihood": float(log_likelihoods(points(self.test[:JUDGED]), points(images), sigma).mean()),
            COPIED: float(nearest(*(points(x).double().numpy() for x in (images, self.train))).mean()),
        }

    def context(self) -> Figures:
        real = {f"training_{name}": value for name, value in self.of(self.train[:MADE]).items() if name != COPIED}
        apart = nearest(*(points(x).double().numpy() for x in (self.test, self.train)))
        own = {"classifier_accuracy": accuracy(self.classifier, self.test, self.labels)}
        return own | real | {f"held_out_{COPIED}": float(apart.mean())}

    def rows(self, system: System) -> dict[str, Tensor]:
        images, _ = self.made(system)
        return {f"made {k}": images[k * SHOWN : (k + 1) * SHOWN] for k in range(4)} | {"real": self.test[:SHOWN]}


class CouplesJudge:
    """CoGAN: pictures of two domains made from one noise."""

    measured: ClassVar[str] = (
        "made couples of an MNIST and a USPS digit, their classes by a classifier of each domain: share of the "
        "same digit, mutual information of the two classes (at most log2 10 = 3.32 bits; a generator of one digit has "
        "none), share of which both are surer than 0.9. Identity couples held-out digits of the two domains at random"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"same_digit": ("high", 0.1), "shared_bits": ("high", 1.0)}

    def __init__(self, case: Case) -> None:
        train = [read(str(side), case) for side in sides(case.recipe.data)]
        self.test = [read(where, case) for where in case.task.held_out]
        self.classifiers = [digit_classifier(*digits) for digits in train]

    @property
    def count(self) -> int:
        return MADE

    def made(self, system: System | None) -> list[Tensor]:
        """MADE pictures of each domain, coupled."""
        if system is None:
            order = np.random.default_rng(0)
            return [images[order.permutation(len(images))[:MADE]] for images, _ in self.test]
        part = shipped(system)
        with torch.no_grad():
            return list(part.module(drawn(part.controls[0], MADE, 1)))

    def figures(self, system: System | None) -> Figures:
        chances = [c.logits(x).softmax(dim=1) for c, x in zip(self.classifiers, self.made(system), strict=True)]
        first, second = (chance.argmax(dim=1) for chance in chances)
        sure = torch.stack([chance.amax(dim=1) > SURE for chance in chances]).all(dim=0)
        counts = np.zeros((10, 10))
        np.add.at(counts, (first.numpy(), second.numpy()), 1)
        return {
            "same_digit": float((first == second).float().mean()),
            "shared_bits": mutual_information(counts),
            "sure": float(sure.float().mean()),
        }

    def context(self) -> Figures:
        pairs = zip(("mnist", "usps"), self.classifiers, self.test, strict=True)
        return {f"{name}_classifier_accuracy": accuracy(c, *digits) for name, c, digits in pairs}

    def rows(self, system: System) -> dict[str, Tensor]:
        first, second = self.made(system)
        return {"made a": first[:SHOWN], "made b": second[:SHOWN], "a, more": first[10:20], "b, more": second[10:20]}


class SameDigitJudge:
    """DTN: a digit of the target domain for each of the source's."""

    measured: ClassVar[str] = (
        "held-out MNIST digits drawn as USPS digits: share that a classifier of real USPS digits takes for the right "
        "digit, and the Fréchet distance of its features to held-out USPS digits (not FID). Identity is the source"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"right_digit": ("high", 0.05), "distance": ("low", 0.2)}

    def __init__(self, case: Case) -> None:
        (self.source, self.labels), (self.target, self.target_labels) = (read(w, case) for w in case.task.held_out)
        self.classifier = digit_classifier(*read(str(sides(case.recipe.data)[1]), case))

    @property
    def count(self) -> int:
        return len(self.source)

    def drawn_anew(self, system: System | None) -> Tensor:
        return run(shipped(system), self.source) if system else self.source

    def figures(self, system: System | None) -> Figures:
        images = self.drawn_anew(system)
        vectors = [self.classifier.features(x).double().numpy() for x in (images, self.target)]
        right = float((predicted(self.classifier, images) == self.labels.numpy()).mean())
        return {"right_digit": right, "distance": frechet(*vectors)}

    def context(self) -> Figures:
        return {"classifier_accuracy": accuracy(self.classifier, self.target, self.target_labels)}

    def rows(self, system: System) -> dict[str, Tensor]:
        images = self.drawn_anew(system)
        return {"source": self.source[:SHOWN], "drawn anew": images[:SHOWN], "real": self.target[:SHOWN]}
