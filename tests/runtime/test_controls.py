"""`--control NAME=VALUE` against a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.controls import parse_controls
from runtime.errors import ControlError
from runtime.images import write_image
from runtime.manifest import Control

Z = Control("z", "noise", (1, 8), distribution="normal")
STYLE = Control("style", "style", (1, 4), low=-1, high=1, default=(0.5, 0.5, 0.5, 0.5), distribution="uniform")
DOMAIN = Control("domain", "label", (1, 3), names=("T1", "T2", "FLAIR"))
MASK = Control("mask", "mask", (1, 1, 6, 5), low=0, high=1)
CONTROLS = (Z, STYLE, DOMAIN, MASK)


def test_defaults_are_the_manifests_or_zero() -> None:
    values = parse_controls([], CONTROLS)
    assert list(values) == ["z", "style", "domain", "mask"]
    assert all(value.dtype == np.float32 for value in values.values())
    assert np.array_equal(values["style"], np.full((1, 4), 0.5))
    assert not values["z"].any()


def test_a_seed_draws_the_same_from_the_controls_own_distribution() -> None:
    first, again, other = (parse_controls([f"z=seed:{seed}"], CONTROLS)["z"] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    many = Control("style", "style", (1, 10_000), low=-1, high=1, distribution="uniform")
    drawn = parse_controls(["style=seed:0"], [many])["style"]
    assert drawn.min() < -0.99
    assert drawn.max() > 0.99


def test_classes_by_name() -> None:
    assert np.array_equal(parse_controls(["domain=FLAIR"], CONTROLS)["domain"], [[0, 0, 1]])
    assert np.array_equal(parse_controls(["domain=T1,T2"], CONTROLS)["domain"], [[1, 1, 0]])


def test_numbers_files_and_pictures(tmp_path: Path) -> None:
    assert np.allclose(parse_controls(["style=0.1,-0.2,0.3,1"], CONTROLS)["style"], [[0.1, -0.2, 0.3, 1]])
    np.save(tmp_path / "z.npy", np.arange(8.0))
    assert np.array_equal(parse_controls([f"z={tmp_path}/z.npy"], CONTROLS)["z"], [np.arange(8.0)])
    write_image(tmp_path / "mask.png", np.full((6, 5, 1), 255, np.uint8))
    assert np.array_equal(parse_controls([f"mask={tmp_path}/mask.png"], CONTROLS)["mask"], np.ones((1, 1, 6, 5)))


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("noise=1", "it takes z"),
        ("z", "NAME=VALUE"),
        ("domain=PD", "T1 or T2 or FLAIR"),
        ("domain=T1,PD", "no class 'PD'"),
        ("style=1,2", "4 number"),
        ("style=0,0,0,2", "range -1 to 1"),
        ("style=0,0,0,nan", "range"),
        ("z=seed:x", "whole number"),
        ("domain=seed:1", "no distribution"),
        ("z=nowhere.npy", "nowhere.npy"),
        ("z=nowhere.png", "takes no picture"),
        ("mask=nowhere.png", "nowhere.png"),
    ],
)
def test_a_wrong_control_is_told_what_is_right(assignment: str, words: str) -> None:
    with pytest.raises(ControlError, match=words):
        parse_controls([assignment], CONTROLS)


def test_a_control_given_twice_is_refused() -> None:
    with pytest.raises(ControlError, match="twice"):
        parse_controls(["z=seed:1", "z=seed:2"], CONTROLS)


def test_an_array_of_another_shape_or_of_objects_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "long.npy", np.zeros((1, 9)))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("long", "objects"):
        with pytest.raises(ControlError, match=name):
            parse_controls([f"z={tmp_path}/{name}.npy"], CONTROLS)
