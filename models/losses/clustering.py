"""Losses that sort pictures into clusters without labels, and that give each a style of its own (TUNIT)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-8


def mutual_information(logits: Tensor, other: Tensor) -> Tensor:
    """Minus the mutual information of two views' clusters (Ji et al., "Invariant Information Clustering", ICCV 2019).

    `logits`, `other`: (N, K) of the same N pictures under two views. Least, -log K, where views agree and clusters are
    equally full; 0 where all is in one cluster. In full precision.
    """
    joint = logits.float().softmax(dim=1).mT @ other.float().softmax(dim=1)
    joint = ((joint + joint.mT) / 2 / len(logits)).clamp_min(EPS)
    rows, columns = joint.sum(dim=1, keepdim=True), joint.sum(dim=0, keepdim=True)
    return (joint * (rows.log() + columns.log() - joint.log())).sum()


def instance_contrast(query: Tensor, key: Tensor, queue: Tensor, temperature: float = 0.07) -> Tensor:
    """InfoNCE of unit vectors: query i must find key i among all of the queue (He et al., MoCo, CVPR 2020).

    `query`, `key`: (N, D) styles, normalised here; `queue`: (Q, D), normalised already. Key and queue are detached.
    """
    query, key = F.normalize(query.float(), dim=1), F.normalize(key.detach().float(), dim=1)
    logits = torch.cat([(query * key).sum(dim=1, keepdim=True), query @ queue.detach().mT], dim=1)
    return F.cross_entropy(logits / temperature, torch.zeros(len(query), dtype=torch.long, device=query.device))
