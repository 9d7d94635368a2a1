"""The Parzen-window log-likelihood of a generator of noise: the figure of the first GAN paper.

A Gaussian of one width stands on each of the generator's pictures; held-out images are judged by the density of their
mean. The width is chosen on other held-out images. Known to rank generators poorly in high dimensions (Theis et al.,
ICLR 2016): use it to compare with the paper, not to choose.

    python -m benchmarks.parzen RUN/checkpoint.safetensors --valid digits/t10k-images-idx3-ubyte.gz#8000:9000 \\
        --test digits/t10k-images-idx3-ubyte.gz#9000:10000
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.checkpoint import load_system
from models.data.datasets import DataConfig, open_dataset, stack
from models.errors import ConfigError, run_command
from models.system import Deployable

SIGMAS = tuple(float(s) for s in np.logspace(-1, 0, 10))  # as the authors': ten widths, of pixels in 0…1


def log_likelihoods(points: Tensor, centres: Tensor, sigma: float) -> Tensor:
    """(N, D) points under Gaussians of deviation `sigma` on the (M, D) centres, equally weighted: (N), in nats."""
    squares = torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
    volume = points.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))
    return torch.logsumexp(-squares / (2 * sigma**2), dim=1) - math.log(len(centres)) - volume


def best_sigma(valid: Tensor, centres: Tensor, sigmas: tuple[float, ...] = SIGMAS) -> float:
    """The width under which the validation points are likeliest."""
    return max(sigmas, key=lambda sigma: float(log_likelihoods(valid, centres, sigma).mean()))


@torch.no_grad()
def made_points(part: Deployable, count: int) -> Tensor:
    """`count` pictures of a generator of noise as (count, D) pixels in [0, 1]; raises ConfigError for other parts."""
    if part.channels_in or [control.kind for control in part.controls] != ["noise"]:
        raise ConfigError("the Parzen window judges generators whose only input is noise")
    (noise,) = part.controls
    made = []
    for start in tqdm(range(0, count, 100), desc="making pictures", leave=False):
        shape = (min(100, count - start), *noise.shape[1:])
        z = torch.rand(shape) * 2 - 1 if noise.distribution == "uniform" else torch.randn(shape)
        made.append((part.module(z).flatten(1) + 1) / 2)
    return torch.cat(made)


def real_points(where: str, like: DataConfig) -> Tensor:
    """All images of a folder or file as (N, D) pixels in [0, 1]."""
    dataset = open_dataset("images", like, 0)
    batch = stack([dataset.sample(k) for k in tqdm(range(dataset.images), desc=f"reading {where}", leave=False)])
    images: Tensor = batch.image  # type: ignore[attr-defined]
    return (images.flatten(1) + 1) / 2


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parzen", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint.safetensors of a GAN, DCGAN, WGAN, VAE …")
    parser.add_argument("--valid", required=True, help="images that choose the width")
    parser.add_argument("--test", required=True, help="images that are judged")
    parser.add_argument("--samples", type=int, default=10_000, help="pictures to make (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args()
    system, info = load_system(args.checkpoint)
    size, channels = info.config["size"], info.config["channels"]
    torch.manual_seed(args.seed)
    centres = made_points(next(iter(system.deployables().values())), args.samples)
    valid, test = (
        real_points(where, DataConfig(data=where, size=size, load_size=size, flip=False, channels=channels))
        for where in (args.valid, args.test)
    )
    sigma = best_sigma(valid, centres)
    nats = log_likelihoods(test, centres, sigma)
    mean, error = float(nats.mean()), float(nats.std() / math.sqrt(len(nats)))
    if args.json:
        print(json.dumps({"log_likelihood": mean, "standard_error": error, "sigma": sigma, "images": len(nats)}))
    else:
        print(f"log-likelihood {mean:.1f} ± {error:.1f} nats on {len(nats)} images; sigma {sigma:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
