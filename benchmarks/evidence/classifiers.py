"""Classifiers of real images, which say what a made image looks like. Trained on training images only, in seconds."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.quality.squeeze import Squeeze


class Classifier(Protocol):
    """image → class, and the vector that it decides by."""

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] → (N, D)."""

    def logits(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] → (N, classes)."""


class LinearOnSqueeze:
    """Multinomial logistic regression on standardised SqueezeNet features, images and their mirror images."""

    def __init__(self, squeeze: Squeeze, images: Tensor, labels: Tensor, decay: float = 0.01) -> None:
        self.squeeze = squeeze
        found = squeeze(torch.cat([images, images.flip(3)]))
        self.mean, self.deviation = found.mean(dim=0), found.std(dim=0) + 1e-6
        x, y = (found - self.mean) / self.deviation, labels.repeat(2)
        torch.manual_seed(0)
        self.head = nn.Linear(x.shape[1], int(labels.max()) + 1)
        nn.init.zeros_(self.head.weight)
        optimizer = torch.optim.LBFGS(self.head.parameters(), max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(self.head(x), y) + decay * self.head.weight.square().sum()
            torch.autograd.backward(value)
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]

    def features(self, images: Tensor) -> Tensor:
        standard: Tensor = (self.squeeze(images) - self.mean) / self.deviation
        return standard

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        output: Tensor = self.head(self.features(images))
        return output


class DigitNet(nn.Module):
    """A small convolutional classifier of 28×28 gray digits; other sizes are resized."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.head(self.trunk(F.interpolate(images, (28, 28), mode="bilinear", antialias=True)))
        return output

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        small = F.interpolate(images, (28, 28), mode="bilinear", antialias=True)
        return torch.cat([self.trunk(batch) for batch in torch.split(small, 500)])

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        return torch.cat([self(batch) for batch in torch.split(images, 500)])


def digit_classifier(images: Tensor, labels: Tensor, epochs: int = 4) -> DigitNet:
    """Trained on (N, 1, H, W) digits in [-1, 1], shifted by up to two pixels."""
    torch.manual_seed(0)
    network = DigitNet()
    steps = epochs * len(images) // 64
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = torch.randint(len(images), (64,))
        down, across = (int(k) for k in torch.randint(-2, 3, (2,)))
        x = images[chosen].roll((down, across), (2, 3))
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(x), labels[chosen]))
        optimizer.step()
        schedule.step()
    return network.eval()


def predicted(classifier: Classifier, images: Tensor) -> NDArray[np.int64]:
    """The class of each image."""
    classes: NDArray[np.int64] = classifier.logits(images).argmax(dim=1).numpy()
    return classes


def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of images (N, …) whose class (N,) is found."""
    return float((predicted(classifier, images) == labels.numpy()).mean())
