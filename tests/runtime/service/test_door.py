"""Who may come in: tokens, TLS, origins, hosts, slow and greedy clients; and how the service goes."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from cryptography import x509
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from runtime.service import tls
from tests.runtime.service.conftest import Served, Start, png

FRAME = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def live(root: Path, tint: Path) -> Iterator[Served]:
    """A service on a moving pattern."""
    service = Served(root, tint, "--source", "synthetic:@20", "--rate", "0")
    yield service
    service.kill()


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def listen(service: Served, query: str = "", **options: object) -> ClientConnection:
    """A WebSocket on /streams."""
    return connect(f"ws://127.0.0.1:{service.port}/streams{query}", open_timeout=60, **options)  # type: ignore[arg-type]


def unpack(message: str | bytes) -> tuple[dict[str, object], list[bytes]]:
    assert isinstance(message, bytes)
    (length,) = struct.unpack(">I", message[:4])
    head, files, at = json.loads(message[4 : 4 + length]), [], 4 + length
    for size in head["bytes"]:
        files.append(message[at : at + size])
        at += size
    assert at == len(message)
    return head, files


def test_off_loopback_it_wants_a_token_and_speaks_tls(serve: Start, tint: Path, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    service = serve(tint, "--host", "0.0.0.0", "--token-file", token_file)
    token = token_file.read_text().strip()
    assert len(token) >= 40
    assert token_file.stat().st_mode & 0o777 == 0o600
    with service.client() as client:
        assert client.get("/health").status_code == 200
        assert client.get("/").status_code == 200, "the page itself is no secret"
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {token}"}, {"cookie": token}):
            assert refusal(client.get("/engine", headers=headers)) == (401, "unauthorized")
            assert refusal(client.post("/translate", content=png(FRAME), headers=headers)) == (401, "unauthorized")
        allowed = {"authorization": f"Bearer {token}"}
        assert client.get("/engine", headers=allowed).status_code == 200
        assert client.post("/translate", content=png(FRAME), headers=allowed).status_code == 200
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{service.port}/health", timeout=20)
    certificate = x509.load_pem_x509_certificate(
        ssl.get_server_certificate(("127.0.0.1", int(service.port or 0))).encode()
    )
    code, errors = service.end()
    assert code == 0
    assert f"made a token in {token_file}" in errors
    assert token not in errors
    assert "self-made certificate" in errors
    assert certificate.fingerprint(tls.hashes.SHA256()).hex(":").upper() in errors


def test_a_self_made_certificate_stays_until_it_must_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tls.self_made(tmp_path / "tls", ["camera.plant", "10.0.0.7"])
    assert made.key.stat().st_mode & 0o777 == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.path, made.key)
    first = made.fingerprint
    assert tls.self_made(tmp_path / "tls", ["camera.plant", "10.0.0.7"]).fingerprint == first
    second = tls.self_made(tmp_path / "tls", ["other.plant"]).fingerprint
    assert second != first

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(timezone.utc) + timedelta(days=380)

    monkeypatch.setattr(tls, "datetime", Later)
    assert tls.self_made(tmp_path / "tls", ["other.plant"]).fingerprint != second, "renewed before it ends"
    with pytest.raises(tls.CertificateError, match="is not the key of"):
        tls.given(made.path, tls.self_made(tmp_path / "more", ["a"]).key)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"origin": "https://evil.example"}, (403, "foreign_origin")),
        ({"origin": "null"}, (403, "foreign_origin")),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, (403, "foreign_origin")),
        ({"host": "evil.example"}, (421, "wrong_host")),
        ({"host": "127.0.0.1.evil.example:80"}, (421, "wrong_host")),
    ],
)
def test_other_origins_and_names_are_refused(
    live: Served, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    with live.client() as client:
        for answer in (client.get("/streams", headers=headers), client.post("/controls", json={}, headers=headers)):
            assert refusal(answer) == expected
            assert not [name for name in answer.headers if name.startswith("access-control-")]
    if "host" not in headers:
        with pytest.raises(InvalidStatus, match="403"), listen(live, additional_headers=headers):
            pass


def test_every_answer_has_the_security_headers(live: Served) -> None:
    with live.client() as client:
        for path in ("/", "/engine", "/nothing", "/snapshot/what"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
            assert "server" not in headers
        assert client.options("/translate", headers={"origin": str(client.base_url)}).status_code in (403, 405)


def test_a_viewer_gets_the_newest_pair_each_time_it_asks(live: Served) -> None:
    with listen(live, "?views=original,translated,difference") as socket:
        seen: list[int] = []
        while len(seen) < 5:
            head, files = unpack(socket.recv(timeout=30))
            if not files:
                continue
            assert head["views"] == ["original", "translated", "difference"]
            original, translated, difference = (cv2.imdecode(np.frombuffer(file, np.uint8), 1) for file in files)
            assert original.shape == (48, 64, 3)
            assert np.array_equal(original, translated)
            assert difference.max() <= 1
            assert (head["state"], head["losses"]) == ("playing", 0)
            seen.append(int(str(head["sequence"])))
            socket.send("next")
        assert seen == sorted(set(seen)), "no picture twice, none older"


def test_a_viewer_that_does_not_ask_is_sent_nothing_more(live: Served) -> None:
    with listen(live) as socket:
        while not unpack(socket.recv(timeout=30))[1]:
            pass  # a beat without pictures
        with pytest.raises(TimeoutError):
            socket.recv(timeout=1.2)


def exhaust(socket: ClientConnection) -> None:
    """Read until the connection is closed."""
    while True:
        socket.recv(timeout=30)


def test_an_unknown_view_and_a_long_message_are_refused(live: Served) -> None:
    with pytest.raises(InvalidStatus) as refused, listen(live, "?views=secret"):
        pass
    assert json.loads(refused.value.response.body)["error"] == "not_found"
    with listen(live) as socket:
        socket.send("x" * 100_000)
        with pytest.raises(ConnectionClosed):
            exhaust(socket)


def test_mjpeg_is_read_by_ffmpeg(live: Served) -> None:
    import av

    with av.open(f"{live.url}/streams/translated", format="mpjpeg", timeout=30) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in islice(container.decode(video=0), 4)]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    assert not np.array_equal(frames[0], frames[3])


@pytest.mark.parametrize("in_use", [False, True])
def test_sigterm_ends_it_well_with_viewers_and_requests_on_their_way(serve: Start, tint: Path, in_use: bool) -> None:
    service = serve(tint, "--source", "synthetic:@20")
    if not in_use:
        assert service.end()[0] == 0
        return
    with service.client() as client, client.stream("GET", "/streams/original") as stream, listen(service) as socket:
        parts = stream.iter_raw()
        next(parts)
        socket.recv(timeout=30)
        half = half_a_body(service)
        service.process.terminate()
        rest = b"".join(parts)
        assert rest.endswith(b"--\r\n"), "the stream came to its end"
        with pytest.raises(ConnectionClosed):
            exhaust(socket)
        half.close()
    _, errors = service.process.communicate(timeout=30)
    assert service.process.returncode == 0, errors
    assert "Traceback" not in errors


def half_a_body(service: Served) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(service.port or 0)), timeout=30)
    connection.sendall(b"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
    return connection


def test_a_refusal_never_quotes_without_end(live: Served) -> None:
    make: Callable[[str], str] = lambda text: f"/snapshot/{text * 3000}"  # noqa: E731
    with live.client() as client:
        answer = client.get(make("ab"))
        assert refusal(answer) == (404, "not_found")
        assert len(answer.content) < 300
