"""Recipes and settings: what is refused, and that every shipped recipe can be trained."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from models.config import build_config, build_configs, parse_setting
from models.errors import ConfigError, run_command
from models.recipe import make_recipe, read_recipe
from models.registry import SYSTEMS, build_system, system_class
from models.train import main

RECIPES = sorted((Path(__file__).resolve().parents[2] / "models" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_builds_and_its_size_suits(path: Path) -> None:
    recipe = read_recipe(path)
    with torch.device("meta"):
        system = system_class(recipe.train.system)(recipe.system)
    for part in system.deployables().values():
        assert not part.refusal(recipe.data.size, recipe.data.size)
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_has_a_paper_recipe_and_a_compact_one(name: str) -> None:
    stems = {path.stem for path in RECIPES}
    assert {name, f"{name}_compact"} <= stems
    paper = read_recipe(next(path for path in RECIPES if path.stem == name))
    assert paper.system == system_class(name).config(), "the paper's settings are the defaults"


def test_a_recipe_survives_its_own_file(tmp_path: Path) -> None:
    recipe = make_recipe({"system": "stargan_v2", "domains": ["a", 'b"c'], "lr": 1e-6, "data": "x\\y", "flip": False})
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert read_recipe(path) == recipe


def test_settings_are_laid_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('system = "cut"\nsize = 128\n')
    recipe = read_recipe(path, ["size=64", "gan=hinge", "flip=false", "nce_layers=[0, 4]"])
    assert (recipe.data.size, recipe.system.gan, recipe.data.flip) == (64, "hinge", False)
    assert recipe.system.nce_layers == (0, 4)


def test_a_shared_name_has_one_value_and_the_systems_default_decides() -> None:
    @dataclass(frozen=True)
    class First:
        size: int = 1
        own: int = 2

    @dataclass(frozen=True)
    class Second:
        size: int = 3

    assert build_configs([First, Second], {}) == [First(3, 2), Second(3)]
    assert build_configs([First, Second], {"size": 5}) == [First(5, 2), Second(5)]
    recipe = make_recipe({"system": "wgan"})
    assert recipe.data.size == recipe.system.size == 64
    assert make_recipe({"system": "stargan_v2"}).data.domains == ("cat", "dog", "wild")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "names no system"),
        ({"system": "cyclegn"}, "did you mean 'cyclegan'?"),
        ({"system": "zzz"}, "there are cyclegan, pix2pix"),
        ({"system": "cut", "lambda_nec": 1.0}, "no setting 'lambda_nec'; did you mean 'lambda_nce'?"),
        ({"system": "cut", "qqqq": 1}, "no setting 'qqqq'; there are "),
        ({"system": "cut", "size": "big"}, "size must be int like 256, got 'big'"),
        ({"system": "cut", "flip": 1}, "flip must be bool like True, got 1"),
        ({"system": "cut", "lr": "fast"}, "lr must be float"),
        ({"system": "cut", "nce_layers": [0, "x"]}, "nce_layers must be int"),
        ({"system": "cut", "nce_layers": 4}, "nce_layers must be tuple"),
        ({"system": "cut", "batch": 0}, "batch and total_kimg must be positive"),
        ({"system": "cut", "log_every": 0}, "log_every"),
        ({"system": "cut", "ema": 1.0}, "ema is in [0, 1)"),
    ],
)
def test_a_wrong_setting_is_told_in_one_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_recipe(values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"generator": "resnet12"}, "no generator 'resnet12'; there are resnet9"),
        ({"gan": "wgan"}, "no gan = 'wgan'; there are lsgan"),
        ({"norm": "group"}, "no norm 'group'; there are instance"),
        ({"critic_field": 71}, "no PatchGAN has a field of 71 px"),
    ],
)
def test_a_name_that_no_table_has_is_told_with_the_names(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_system("cyclegan", {"width": 1, "critic_width": 1} | settings)
    assert words in str(caught.value)


def test_a_whole_number_is_taken_for_a_real_one() -> None:
    assert build_config(system_class("cut").config, {"lambda_nce": 3}).lambda_nce == 3.0  # type: ignore[attr-defined]


def test_settings_of_the_command_line_are_toml_values_or_words() -> None:
    assert parse_setting("a=1") == ("a", 1)
    assert parse_setting("a=1e-3") == ("a", 0.001)
    assert parse_setting("a=[1, 2]") == ("a", [1, 2])
    assert parse_setting("data=some/folder") == ("data", "some/folder")
    with pytest.raises(ConfigError, match="takes NAME=VALUE"):
        parse_setting("width")


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "cannot read the recipe"), ("size = = 3", "is not TOML"), ("[train]\nsize = 3", "recipes are flat")],
)
def test_a_recipe_file_that_cannot_be_read_is_told(text: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_recipe(path)


def test_the_command_ends_with_one_sentence_and_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--set", "system=cut", "--set", "widht=3", "--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["models.train", *arguments])
    assert run_command(main) == 2
    assert capsys.readouterr().err == "error: there is no setting 'widht'; did you mean 'width'?\n"
    assert not (tmp_path / "run").exists()
