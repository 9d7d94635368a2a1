"""The figures of the gate, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.fidelity import bias, psnr, ssim, worst_tile_psnr
from calibration.gate import DEFAULTS, Figures, adjusted, verdict

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(20, 230, (70, 90, 3)).astype(np.uint8)


def test_psnr_of_one_level_is_48_13_db() -> None:
    assert psnr(PICTURE + 1, PICTURE) == pytest.approx(20 * np.log10(255))
    assert psnr(PICTURE, PICTURE) == 100.0


def test_sixteen_bit_pictures_are_judged_on_their_own_scale() -> None:
    deep = PICTURE.astype(np.uint16) * 257
    assert psnr(deep + 257, deep) == pytest.approx(20 * np.log10(255))
    assert bias(deep + 257, deep) == pytest.approx(1.0)


def test_the_worst_tile_shows_what_the_mean_hides() -> None:
    spoilt = PICTURE.copy()
    spoilt[64:, 64:] = 255 - spoilt[64:, 64:]
    error = (spoilt[64:, 64:].astype(float) - PICTURE[64:, 64:]) ** 2
    assert worst_tile_psnr(spoilt, PICTURE) == pytest.approx(10 * np.log10(255**2 / error.mean()))
    assert psnr(spoilt, PICTURE) > worst_tile_psnr(spoilt, PICTURE) + 10


def test_bias_is_signed_and_ssim_is_one_for_equals() -> None:
    assert bias(PICTURE - 2, PICTURE) == pytest.approx(-2)
    assert ssim(PICTURE, PICTURE) == pytest.approx(1)
    assert ssim(RNG.permutation(PICTURE), PICTURE) < 0.2


def test_pictures_of_other_shapes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="cannot compare"):
        psnr(PICTURE[:10], PICTURE)


def figures(**values: float) -> Figures:
    good = {
        "frames": 8,
        "mean_psnr": 45,
        "p1_psnr": 40,
        "worst_psnr": 40,
        "worst_tile_psnr": 30,
        "mean_ssim": 1,
        "worst_ssim": 1,
        "bias": 0,
        "worst_bias": 0,
    }
    return Figures(**(good | values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, []),
        ({"mean_psnr": 37.9}, ["mean PSNR 37.90 dB < 38 dB"]),
        ({"worst_psnr": 29.0}, ["worst frame 29.00 dB < 30 dB"]),
        ({"bias": -1.5}, ["|bias| 1.50 levels > 1"]),
        ({"mean_psnr": float("nan")}, ["mean PSNR nan dB < 38 dB"]),
    ],
)
def test_each_threshold_is_told_in_words(values: dict[str, float], words: list[str]) -> None:
    assert figures(**values).failures(DEFAULTS["int8"]) == words


def test_the_verdict_keeps_figures_and_thresholds() -> None:
    kept = verdict(figures(), adjusted(DEFAULTS["int8"], mean_psnr=46.0, worst_psnr=None))
    assert kept["verdict"] == "refused"
    assert kept["thresholds"]["mean_psnr"] == 46.0
    assert kept["thresholds"]["worst_psnr"] == 30.0
    assert kept["p1_psnr"] == 40
