"""Contrastive losses on patches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MASKED = -10.0  # a logit (before the temperature) that no unit vectors reach


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """InfoNCE: query patch i must find key patch i among the patches of its own image (Park et al., ECCV 2020).

    `query`, `key`: (N, P, D) unit vectors of the same positions; the key is detached. Negatives do not cross the first
    axis: for negatives from other images (SinCUT) pass (1, N·P, D).
    """
    key = key.detach()
    positive = (query * key).sum(dim=2, keepdim=True)  # (N, P, 1)
    negative = query @ key.mT  # (N, P, P)
    same = torch.eye(query.shape[1], dtype=torch.bool, device=query.device)
    logits = torch.cat([positive, negative.masked_fill(same, MASKED)], dim=2).flatten(0, 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def nce_against(query: Tensor, key: Tensor, negatives: Tensor, temperature: float = 0.07) -> Tensor:
    """InfoNCE with negatives (N, M, D) made for the image instead of its other patches (Wang et al., ICCV 2021).

    `query`, `key`: (N, P, D) unit vectors of the same positions; the key is detached.
    """
    positive = (query * key.detach()).sum(dim=2, keepdim=True)
    logits = torch.cat([positive, query @ negatives.mT], dim=2).flatten(0, 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
