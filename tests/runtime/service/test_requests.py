"""POST /translate, /controls and the rest, asked of a real process: right answers, and one JSON object per refusal."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.runtime.service.conftest import Served, Start, png

FRAME = np.random.default_rng(3).integers(0, 200, (48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def client(root: Path, tint: Path) -> Iterator[httpx.Client]:
    """Of one service without a live stream and without a rate limit."""
    service = Served(root, tint, "--rate", "0")
    with service.client() as client:
        yield client
    service.kill()


def read(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"error", "message"}
    assert "\n" not in body["message"]
    return answer.status_code, body["error"]


def test_a_picture_comes_back_translated_in_its_format_or_another(client: httpx.Client) -> None:
    answer = client.post("/translate", content=png(FRAME), params={"control": "style=0.1,0.2,0.3"})
    expected = np.clip(FRAME + np.array([10, 20, 30]), 0, 255)
    assert np.abs(read(answer).astype(int) - expected).max() <= 1
    assert answer.headers["content-type"] == "image/png"
    assert "engine;dur=" in answer.headers["server-timing"]
    tiff = client.post("/translate?format=tiff", content=png(FRAME))
    assert tiff.headers["content-type"] == "image/tiff"
    assert np.array_equal(read(tiff), FRAME), "without a control the engine gives the frame back"
    jpeg = client.post("/translate", content=bytes(cv2.imencode(".jpg", FRAME)[1]))
    assert jpeg.headers["content-type"] == "image/jpeg"
    assert client.post("/translate", content=png(FRAME), headers={"accept": "image/jpeg"}).content[:2] == b"\xff\xd8"


def test_pictures_of_other_sizes_are_fitted_or_tiled(client: httpx.Client) -> None:
    large = np.random.default_rng(4).integers(0, 255, (100, 150, 3), np.uint8)
    assert read(client.post("/translate", content=png(large))).shape == (48, 64, 3)
    tiled = read(client.post("/translate?fit=tile", content=png(large)))
    assert np.array_equal(tiled, large), "the identity in tiles is the identity"
    assert refusal(client.post("/translate?fit=best", content=png(large))) == (400, "unknown_fit")


def test_controls_change_live_and_a_wrong_one_changes_nothing(client: httpx.Client) -> None:
    assert client.get("/controls").json()["style"]["value"] == [0, 0, 0]
    assert client.post("/controls", json={"style": [0.5, 0, 0], "season": "summer"}).status_code == 200
    after = client.get("/controls").json()
    assert after["style"]["value"] == [0.5, 0, 0]
    assert after["season"]["value"] == [1, 0]
    assert after["season"]["names"] == ["summer", "winter"]
    picture = read(client.post("/translate", content=png(np.zeros_like(FRAME))))
    assert picture[0, 0].tolist() == [250, 200, 200]
    for settings, code in [
        ({"style": "seed:x"}, "wrong_control"),
        ({"mood": 1}, "wrong_control"),
        ({"style": [0.1, 2, 0]}, "wrong_control"),
        ({"style": {"a": 1}}, "wrong_value"),
        ({"style": "/etc/hosts.npy"}, "no_files"),
        ({"style": "../secret.png"}, "no_files"),
        ({"style": "lerp:/etc/hosts.npy:seed:3:0.5"}, "no_files"),
        ({"style": "photo.jpg,domain=1"}, "no_files"),
        ({}, "not_json"),
    ]:
        assert refusal(client.post("/controls", json=settings))[1] == code
    assert client.get("/controls").json() == after
    answer = client.post("/translate", content=png(FRAME), params={"control": "style=/etc/x.npy"})
    assert refusal(answer) == (403, "no_files")
    default = client.post("/controls", json={"style": "default", "season": "default"}).json()
    assert default["style"]["value"] == [0, 0, 0]


def samples(client: httpx.Client) -> dict[str, float]:
    """What Prometheus' own reader finds in /metrics."""
    found = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_facts(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"ready": True, "engine": "tint.onnx", "stream": "off"}
    engine = client.get("/engine").json()
    assert (engine["system"], [control["name"] for control in engine["controls"]]) == ("tint", ["style", "season"])
    before = samples(client)
    client.post("/translate", content=png(FRAME))
    client.post("/translate", content=b"no picture")
    after = samples(client)
    request = 'inloco_http_requests_total{method="POST",path="/translate",status="%s"}'
    for name, more in [(request % 200, 1), (request % 415, 1), ('inloco_translate_seconds_bucket{le="+Inf"}', 1)]:
        assert after[name] - before.get(name, 0) == more
    assert any(f'sha256="{engine["sha256"]["engine"]}"' in name for name in after)
    assert refusal(client.get("/streams/original")) == (409, "no_source")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def two_pages() -> bytes:
    done, data = cv2.imencodemulti(".tiff", [FRAME, FRAME])
    assert done
    return data.tobytes()


BAD_PICTURES: list[tuple[Callable[[], bytes], tuple[int, str]]] = [
    (lambda: b"", (415, "not_a_picture")),
    (lambda: b"GIF89a" + bytes(50), (415, "not_a_picture")),
    (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", (415, "not_a_picture")),
    (lambda: png(FRAME)[:200], (422, "damaged")),
    (lambda: bytes(cv2.imencode(".jpg", FRAME)[1])[:400], (422, "damaged")),
    (lambda: bomb(60_000, 60_000), (413, "too_many_pixels")),
    (lambda: bomb(7_000, 7_000), (413, "too_many_pixels")),
    (lambda: png(FRAME[:, :, 0]), (422, "wrong_pixels")),
    (lambda: png(FRAME.astype(np.uint16)), (422, "wrong_pixels")),
    (two_pages, (422, "several_pages")),
]


def test_what_is_no_picture_is_refused_before_it_is_decoded(client: httpx.Client) -> None:
    for make, expected in BAD_PICTURES:
        assert refusal(client.post("/translate", content=make())) == expected
    assert np.array_equal(read(client.post("/translate", content=png(FRAME))), FRAME), "and it still works"


def test_a_body_beyond_the_limit_is_refused_declared_or_not(serve: Start, tint: Path) -> None:
    with serve(tint, "--max-upload", "0.01").client() as client:
        assert refusal(client.post("/translate", content=bytes(20_000))) == (413, "too_large")
        pieces = (bytes(4096) for _ in range(5))  # chunked: no Content-Length
        assert refusal(client.post("/translate", content=pieces)) == (413, "too_large")
        assert refusal(client.post("/controls", content=b"[" * 70_000)) == (413, "too_large")
        assert refusal(client.post("/controls", content=b"[" * 9_000)) == (400, "not_json")


def test_no_address_leads_to_a_file(client: httpx.Client) -> None:
    for path in (
        "/nothing", "/page/..%2f..%2fserve.py", "/page/%2e%2e/app.py", "/../../etc/passwd", "/page//etc/passwd",
        "/snapshot/..%2fx", "/%00", "/page/page.js%00.png",
    ):  # fmt: skip
        raw = httpx.URL(str(client.base_url), raw_path=path.encode())
        assert refusal(client.get(raw)) == (404, "not_found"), path


def test_a_wrong_method_is_refused_in_json(client: httpx.Client) -> None:
    assert refusal(client.get("/translate")) == (405, "method_not_allowed")


def test_too_many_requests_are_429_and_the_monitor_still_hears(serve: Start, tint: Path) -> None:
    with serve(tint, "--rate", "2").client() as client:
        codes = [client.get("/engine").status_code for _ in range(12)]
        assert codes[:4] == [200] * 4
        assert 429 in codes
        answer = next(answer for answer in iter(lambda: client.get("/engine"), None) if answer.status_code == 429)
        assert refusal(answer) == (429, "rate_limited")
        assert answer.headers["retry-after"] == "1"
        assert [client.get("/health").status_code for _ in range(12)] == [200] * 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "absent.onnx"], "there is no engine absent.onnx"),
        (["--host", "0.0.0.0"], "give --token-file"),
        (["--source", "absent.mp4"], "absent.mp4"),
        (["--source", "what:1"], "unknown source"),
        (["--cert", "x.pem"], "--cert and --key belong together"),
        (["--control", "mood=1"], "no control 'mood'"),
        (["--host", "203.0.113.9", "--token-file", "TOKEN"], "cannot listen on 203.0.113.9"),
    ],
)
def test_a_wrong_start_is_one_sentence_and_exit_code_2(
    root: Path, tint: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    arguments = [str(tmp_path / "token") if word == "TOKEN" else word for word in arguments]
    command = [sys.executable, "-m", "runtime.serve", "--engine", str(tint), "--port", "0", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_service_says_where_it_is_on_stdout(serve: Start, tint: Path) -> None:
    service: Served = serve(tint)
    assert service.port
    code, errors = service.end()
    assert code == 0, errors
    assert "for only this machine: http://127.0.0.1:" in errors
