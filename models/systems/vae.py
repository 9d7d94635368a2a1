"""VAE: images to a small code and back; the code is held near a normal distribution, so that noise makes images too.

Paper: Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
Differs from the paper: Adam, ReLU, one hidden layer of 400 and a code of 20, as in PyTorch's widely used example; the
paper has Adagrad, other sizes, and Gaussian outputs for photographs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.data.batches import OneImage
from models.losses.divergence import kl_to_normal, sampled
from models.system import Clock, Control, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config:
    """Settings of PyTorch's example on MNIST."""

    size: int = 28
    load_size: int = 28
    flip: bool = False
    channels: int = 1
    width: int = 400
    latent: int = 20
    lr: float = 1e-3


class Vae(System):
    """encoder: image → mean and log-variance of z; decoder: z → image."""

    config = Config
    data = "images"
    task = "noise to image"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.encoder = Encoder(cfg)
        self.decoder = Decoder(cfg)

    def phases(self) -> list[Phase]:
        return [Phase("VAE", (self.encoder, self.decoder), self.losses)]

    def losses(self, batch: OneImage, _: Clock) -> Losses:
        """The negative evidence lower bound, in nats, summed over the batch."""
        mean, log_variance = self.encoder(batch.image)
        logits = self.decoder.logits(sampled(mean, log_variance))
        pixels = ((batch.image + 1) / 2).flatten(1)  # gray values as probabilities of white
        return {
            "reconstruction": F.binary_cross_entropy_with_logits(logits, pixels, reduction="sum"),
            "kl": kl_to_normal(mean, log_variance),
        }

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr)

    def deployables(self) -> dict[str, Deployable]:
        cfg = self.cfg
        z = Control("z", "noise", (1, cfg.latent), distribution="normal")
        return {
            "decoder": Deployable(self.decoder, channels_in=0, controls=(z,)),
            "reconstruction": Deployable(
                Reconstruction(self.encoder, self.decoder), cfg.channels, fixed_size=(cfg.size, cfg.size)
            ),
        }

    @torch.no_grad()
    def samples(self, batch: OneImage) -> dict[str, Tensor]:
        z = torch.randn(len(batch), self.cfg.latent, device=batch.image.device)
        reconstruction = self.decoder(self.encoder(batch.image)[0])
        return {"real": batch.image, "reconstruction": reconstruction, "made": self.decoder(z)}


class Encoder(nn.Module):
    """(N, C, H, W) → mean and log-variance, each (N, latent)."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(cfg.channels * cfg.size**2, cfg.width), nn.ReLU())
        self.mean, self.log_variance = (nn.Linear(cfg.width, cfg.latent) for _ in range(2))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(image / 2 + 0.5)
        return self.mean(hidden), self.log_variance(hidden)


class Decoder(nn.Module):
    """(N, latent) → (N, C, H, W) in [-1, 1]: the means of the pixels."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.shape = (cfg.channels, cfg.size, cfg.size)
        self.layers = nn.Sequential(
            nn.Linear(cfg.latent, cfg.width), nn.ReLU(), nn.Linear(cfg.width, cfg.channels * cfg.size**2)
        )

    def logits(self, z: Tensor) -> Tensor:
        """(N, pixels) of each pixel's being white."""
        logits: Tensor = self.layers(z)
        return logits

    def forward(self, z: Tensor) -> Tensor:
        return (torch.sigmoid(self.logits(z)) * 2 - 1).reshape(-1, *self.shape)


class Reconstruction(nn.Module):
    """Image → image through the mean code, so that nothing is drawn."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, image: Tensor) -> Tensor:
        reconstruction: Tensor = self.decoder(self.encoder(image)[0])
        return reconstruction
