"""The Inception score: is each picture surely of one class, and are all classes there? No real picture takes part.

exp(mean KL(p(y|x) ‖ p(y))) (Salimans et al., "Improved Techniques for Training GANs", 2016), over all pictures at once;
the paper's mean of ten splits is lower.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, logsumexp

from benchmarks.quality.frechet import Vectors


def inception_score(logits: Vectors) -> float:
    """Of (N, classes) logits; between 1 and the number of classes."""
    log_p = log_softmax(logits, axis=1)
    log_mean = logsumexp(log_p, axis=0) - np.log(len(log_p))
    return float(np.exp((np.exp(log_p) * (log_p - log_mean)).sum(axis=1).mean()))
