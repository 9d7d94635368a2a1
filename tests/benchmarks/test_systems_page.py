"""The page of the systems is what its command writes; the costs in it are counted as the graph's are."""

from __future__ import annotations

import pytest

from benchmarks.evidence.rows import read_rows
from benchmarks.part_macs import GMACS_FILE, Costs, costs
from benchmarks.systems_page import PAGE, page
from models.registry import SYSTEMS


def test_the_page_is_what_the_command_writes() -> None:
    written = page(read_rows(), Costs.read(GMACS_FILE))
    assert written == PAGE.read_text(encoding="utf-8"), "run `python -m benchmarks.systems_page`"


def test_every_system_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in SYSTEMS if f"| [{name}](" not in text] == []


@pytest.mark.parametrize("name", ["gan", "vae", "dann", "cogan", "dtn", "wgan_gp"])
def test_stored_costs_are_those_of_the_networks(name: str) -> None:
    stored = Costs.read(GMACS_FILE)[name]
    counted = costs(name)
    assert counted.gmacs == pytest.approx(stored.gmacs)
    assert (counted.size, counted.controls) == (stored.size, stored.controls)


def test_the_known_figure_of_cyclegan() -> None:
    # ResNet-9 at 256×256, exact: 49.55 G, as export/macs.py counts in its graph.
    assert Costs.read(GMACS_FILE)["cyclegan"].gmacs["ab"] == pytest.approx(49.55, abs=0.01)


def test_vae_decoder_by_hand() -> None:
    # Two linear layers without a hidden secret: latent × width + width × 784.
    from models.systems.vae import Config

    cfg = Config()
    macs = cfg.latent * cfg.width + cfg.width * cfg.size**2
    assert costs("vae").gmacs["decoder"] == pytest.approx(macs / 1e9)
