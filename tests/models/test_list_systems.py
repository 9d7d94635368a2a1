"""`python -m models.list`."""

from __future__ import annotations

import json
import sys

import pytest

from models.list import main
from models.registry import COMPRESSIONS, SYSTEMS


@pytest.fixture(params=[False, True], ids=["text", "json"])
def listed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["models.list", *(["--json"] if request.param else [])])
    assert main() == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("listed", [False], indirect=True)
def test_there_is_one_line_per_system_and_compression(listed: str) -> None:
    lines = listed.splitlines()
    assert [line.split()[0] for line in lines] == [*SYSTEMS, *COMPRESSIONS]
    assert all(len(line) <= 200 for line in lines)


@pytest.mark.parametrize("listed", [True], indirect=True)
def test_the_list_is_there_for_machines(listed: str) -> None:
    rows = {row["name"]: row for row in json.loads(listed)}
    assert list(rows) == [*SYSTEMS, *COMPRESSIONS]
    assert (rows["cut"]["year"], rows["cut"]["data"]) == (2020, "unpaired")
    assert rows["cut"]["parts"] == {"generator": 11378179}
    assert rows["wgan_gp"]["task"] == "noise to image"
    assert rows["nice_gan"]["paper"].startswith('Chen et al., "Reusing Discriminators')
    assert all(1990 < row["year"] < 2027 for row in rows.values())
