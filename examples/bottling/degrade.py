"""A camera in bad light: the degradation that makes domain A of the bottling example out of clean frames.

A clean 8-bit frame x becomes a dark, noisy and miscoloured one, in this order:

    1. sRGB → linear light                       IEC 61966-2-1
    2. times gain times cast                     a tenth of the light; red 1.15, green 1.0, blue 0.8
    3. Gaussian blur, sigma 0.6 px               an open aperture
    4. shot noise: Poisson of 800 · x electrons  full well 800 at linear 1.0: a white pixel gives 80
    5. read noise: normal, 6 electrons           independent for every pixel, channel and frame
    6. linear light → sRGB, clipped to 8 bits

Demosaicing, fixed-pattern noise and compression are not modelled. Steps 4 and 5 are the Poisson-Gaussian model
of Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", 2008.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.frames import Array


@dataclass(frozen=True)
class Sensor:
    """The camera's numbers; the defaults are those of the shipped example."""

    gain: float = 0.1  # of the light that reaches the sensor
    cast: tuple[float, float, float] = (0.8, 1.0, 1.15)  # B, G, R
    blur: float = 0.6  # sigma, pixels
    full_well: float = 800.0  # electrons at linear 1.0
    read_noise: float = 6.0  # electrons, standard deviation


def to_linear(frame: Array) -> NDArray[np.float64]:
    """sRGB 0..255 → linear light 0..1 (IEC 61966-2-1)."""
    value = frame / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Linear light, clipped to 0..1 → sRGB 0..255 (IEC 61966-2-1)."""
    value = np.clip(linear, 0.0, 1.0)
    curve = np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)
    levels: NDArray[np.uint8] = np.rint(curve * 255.0).astype(np.uint8)
    return levels


def degrade(frame: NDArray[np.uint8], seed: int, sensor: Sensor | None = None) -> NDArray[np.uint8]:
    """The frame as the badly lit camera sees it.

    Args:
        frame: (H, W, 3) BGR.
        seed: of this frame's noise; another frame needs another seed, or its noise is the same.
        sensor: the camera; None = the example's.
    """
    sensor = sensor or Sensor()
    rng = np.random.default_rng(seed)
    light = to_linear(frame) * (sensor.gain * np.asarray(sensor.cast))
    if sensor.blur > 0:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), sensor.blur), dtype=np.float64)
    electrons = rng.poisson(light * sensor.full_well) + rng.normal(0.0, sensor.read_noise, light.shape)
    return to_srgb(electrons / sensor.full_well)
