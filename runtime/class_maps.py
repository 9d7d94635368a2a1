"""What classifiers and segmenters say, for people."""

from __future__ import annotations

import cv2
import numpy as np

from runtime.frames import Array, Frame

_SHOWN = 3  # classes of a picture


def best_classes(logits: Array, names: tuple[str, ...]) -> dict[str, float]:
    """The likeliest classes of (1, K) logits and their shares (softmax), best first."""
    values = logits.ravel().astype(np.float64)
    shares = np.exp(values - values.max())
    shares /= shares.sum()
    return {
        (names[index] if index < len(names) else str(index)): round(float(shares[index]), 6)
        for index in np.argsort(-shares, kind="stable")[:_SHOWN]
    }


def draw_classes(logits: Array) -> Frame:
    """(1, K, H, W) logits → (H, W, 3) BGR uint8: the likeliest class of each pixel by hue, class 0 black."""
    classes = logits[0].argmax(axis=0)
    count = logits.shape[1]
    hues = np.array([[180 * (k - 1) // max(1, count - 1), 200, 255] for k in range(count)], np.uint8)[None]
    palette = cv2.cvtColor(hues, cv2.COLOR_HSV2BGR)[0]
    palette[0] = 0
    picture: Frame = palette[classes]
    return picture
