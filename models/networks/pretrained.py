"""Frozen networks that judge pictures, with weights from a file of the user's: VGG, SqueezeNet 1.1, a denoiser.

Simonyan & Zisserman, ICLR 2015; Iandola et al., 2016; Zhang et al., TIP 2017. Parameters of the first two are named
and numbered as torchvision does, so that its weight files fit: .npz, .safetensors, or .pth.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import ConfigError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]
_VGG16 = (64, 64, 0, 128, 128, 0, *[256] * 3, 0, *[512] * 3, 0, *[512] * 3, 0)  # channels; 0 = max-pool
_VGG19 = (64, 64, 0, 128, 128, 0, *[256] * 4, 0, *[512] * 4, 0, *[512] * 4, 0)
# Channels in, squeezed, expanded (each of two) of SqueezeNet's features.N, and the max-pools between them.
_FIRES = {3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128), 9: (256, 48, 192),
          10: (384, 48, 192), 11: (384, 64, 256), 12: (512, 64, 256)}  # fmt: skip
_POOLS = (2, 5, 8)


class Fire(nn.Module):
    """A 1×1 squeeze, then 1×1 and 3×3 side by side. (N, channels, H, W) → (N, 2 · expanded, H, W)."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat((self.expand1x1(x), self.expand3x3(x)), dim=1))


def squeezenet_features() -> nn.Sequential:
    """The feature part of SqueezeNet 1.1; it is fed with pictures normalised by MEAN and DEVIATION."""
    layers: dict[int, nn.Module] = {0: nn.Conv2d(3, 64, 3, stride=2), 1: nn.ReLU()}
    layers |= {index: nn.MaxPool2d(3, stride=2, ceil_mode=True) for index in _POOLS}
    layers |= {index: Fire(*widths) for index, widths in _FIRES.items()}
    return nn.Sequential(*(layers[index] for index in sorted(layers)))


def vgg16_features() -> nn.Sequential:
    """The feature part of VGG-16; it is fed with pictures normalised by MEAN and DEVIATION."""
    return _vgg(_VGG16)


def vgg19_features() -> nn.Sequential:
    """The feature part of VGG-19; it is fed with pictures normalised by MEAN and DEVIATION."""
    return _vgg(_VGG19)


def _vgg(sides: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    inner = 3
    for outer in sides:
        layers += [nn.Conv2d(inner, outer, 3, padding=1), nn.ReLU()] if outer else [nn.MaxPool2d(2)]
        inner = outer or inner
    return nn.Sequential(*layers)


class FrozenFeatures(nn.Module):
    """(N, C, H, W) RGB or gray in [-1, 1] → features of the last of `layers`, times `scale`. Never trained."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: nn.Sequential, scale: float = 1.0) -> None:
        super().__init__()
        self.layers, self.scale = layers, scale
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        normalised = ((image + 1) / 2 - self.mean) / self.deviation  # gray becomes three channels here
        features: Tensor = self.layers(normalised)
        return features * self.scale


# What a loss may compare → network, how many of its layers, and the factor on its features. VGG-19: conv 5.4 and 2.2
# after their ReLU, 1/12.75 (SRGAN). VGG-16: conv 5.3 after its ReLU (UNIT). SqueezeNet: a factor that, as SRGAN's,
# makes the loss of bicubic images about their pixel MSE (measured on eight 96×96 photographs: 203 against 0.012).
FEATURES: dict[str, tuple[Callable[[], nn.Sequential], int, float]] = {
    "vgg54": (vgg19_features, 36, 1 / 12.75),
    "vgg22": (vgg19_features, 9, 1 / 12.75),
    "vgg16_53": (vgg16_features, 30, 1.0),
    "squeeze": (squeezenet_features, 13, 1 / 130),
}


def frozen_features(kind: str, weights: str, setting: str) -> FrozenFeatures:
    """The features of a name of FEATURES, with the weights of a file.

    Raises:
        ConfigError: there is no such name, or no file is given for `setting`, or it is not of that network.
    """
    if kind not in FEATURES:
        raise ConfigError(f"there is no {setting} {kind!r}; there are {', '.join(FEATURES)}")
    if not weights:
        raise ConfigError(f"{setting} = {kind!r} compares features: give {setting}_weights = a file of torchvision's "
                          "weights")  # fmt: skip
    build, depth, scale = FEATURES[kind]
    network = build()
    load_weights(network, Path(weights))
    return FrozenFeatures(nn.Sequential(*list(network)[:depth]), scale)


class FrozenDenoiser(nn.Module):
    """(N, C, H, W) in [-1, 1] → the noise in it, in the same units, by a network for gray pictures. Never trained.

    Its file holds the 3×3 convolutions w0, b0, w1, b1 …, with ReLU between them, for pictures in [0, 1] (DnCNN).
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            stored = _read(path)
            depth = len(stored) // 2
            pairs = [(stored[f"w{k}"].float(), stored[f"b{k}"].float()) for k in range(depth)]
        except (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path} holds no denoiser (arrays w0, b0, w1, b1 …)") from error
        layers: list[nn.Module] = []
        for weight, bias in pairs:
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
            layers += [conv, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        gray = (image.reshape(-1, 1, *image.shape[2:]) + 1) / 2
        noise: Tensor = 2 * self.layers(gray)
        return noise.reshape(image.shape)


def load_weights(network: nn.Sequential, path: Path) -> None:
    """Fill a feature network from a file of torchvision's names; what belongs to a classifier is left out.

    Raises:
        ConfigError: the file is missing, damaged, or of another network.
    """
    try:
        weights = _read(path)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no weight file {path}") from error
    except (OSError, EOFError, ValueError, SafetensorError, UnpicklingError, RuntimeError, zipfile.BadZipFile) as error:
        raise ConfigError(f"the weight file {path} is damaged, or is no .npz, .safetensors or .pth file") from error
    ours = {name.removeprefix("features."): w.float() for name, w in weights.items() if name.startswith("features.")}
    try:
        network.load_state_dict(ours)
    except RuntimeError as error:
        raise ConfigError(f"the weights in {path} are of another network than the one that content asks for") from error


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".npz":
        with np.load(path) as stored:
            return {name: torch.from_numpy(stored[name]) for name in stored.files}
    if path.suffix == ".safetensors":
        return load_file(path)
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights
