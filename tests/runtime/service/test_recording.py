"""The service records, flags what a client flags, and counts it for Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

pytest.importorskip("starlette")

Start = Callable[..., object]


def test_a_client_flags_a_moment_and_the_metrics_count_it(
    serve: Callable[..., object], tint: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    service = serve(tint, "--source", "synthetic:@20", "--record", kept, "--record-events", "1s")
    with service.client() as client:  # type: ignore[attr-defined]
        assert client.post("/flag", json={"note": "a crack"}).json() == {"flagged": "a crack"}
        assert client.post("/controls", json={"style": "seed:3"}).status_code == 200
        assert client.post("/flag", json={"remark": 3}).json()["error"] == "wrong_value"
        assert client.post("/flag", content=b"a crack").json()["error"] == "not_json"
        deadline = time.monotonic() + 60
        while not (videos := [path for path in kept.glob("*.mp4") if ".part" not in path.name]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        counted = metrics(client)
    (video,) = videos
    about = [json.loads(line) for line in video.with_suffix(".jsonl").read_text().splitlines()]
    assert ["flag: a crack"] in [line.get("events") for line in about]
    assert any(line.get("controls", "").startswith("style=seed:3") for line in about)
    assert counted["inloco_record_frames_total"] == about[-1]["frames"] > 10
    assert counted["inloco_record_events_total"] == 1
    assert counted["inloco_record_failures_total"] == counted["inloco_record_removed_total"] == 0
    code, errors = service.end()  # type: ignore[attr-defined]
    assert code == 0, errors
    assert not list(kept.glob("*.part.*"))


def metrics(client: httpx.Client) -> dict[str, float]:
    rows = [line.rpartition(" ") for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in rows}


def test_without_a_recording_there_is_nothing_to_flag(serve: Callable[..., object], tint: Path) -> None:
    service = serve(tint, "--source", "synthetic:@5")
    with service.client() as client:  # type: ignore[attr-defined]
        answer = client.post("/flag", json={"note": "a crack"})
    assert answer.status_code == 409
    assert answer.json()["error"] == "not_recording"
