"""What one client may take, how long it is waited for, and what viewers are told of pictures that are none."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from threading import Thread
from time import sleep

import numpy as np
import pytest

from benchmarks.c_api import write_identity
from runtime.service.app import build_app
from runtime.service.limits import Budget, Limits, RateLimit
from runtime.service.pictures import LivePictures
from runtime.service.refusal import Refusal
from runtime.service.server import Server, bind
from runtime.service.service import open_service
from runtime.sinks import Mark
from runtime.stream_options import StreamOptions


def raw(port: int, head: bytes) -> bytes:
    """What comes back on a bare connection until it is closed."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
        connection.sendall(head)
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return answer


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a service in this process, with pictures of 512×512, that waits for nobody long."""
    engine = write_identity(tmp_path_factory.mktemp("identity"), 512)
    limits = Limits(header_s=0.5, upload_s=0.5, send_s=0.5, connections_each=3, viewers=1)
    service = open_service(StreamOptions(engine, "synthetic:@20", "null:", compare=True), limits)
    app = build_app(service, frozenset({"localhost"}), None)
    listener = bind("127.0.0.1", 0)
    server = Server(app, limits, None, service.stop)
    thread = Thread(target=server.run, args=([listener],))
    port = listener.getsockname()[1]
    thread.start()
    yield port
    server.end()
    thread.join()
    assert service.close(10.0)


def test_slow_heads_slow_bodies_and_what_is_no_http_are_ended_with_a_reason(impatient: int) -> None:
    assert b'"bad_request"' in raw(impatient, b"this is not HTTP\r\n\r\n")
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    assert b'"bad_request"' in raw(impatient, head + b"X: " + b"a" * 20_000)
    for slow in (b"", b"GET / HTTP/1.1\r\nHost: local", head):
        answer = raw(impatient, slow)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"too_slow"' in answer
    body = raw(impatient, b"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
    assert body.startswith(b"HTTP/1.1 408")
    with closing(socket.create_connection(("127.0.0.1", impatient), timeout=60)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b'"ok"}'):
            answer += connection.recv(65536)
        connection.sendall(b"GET /hea")  # an answered request is no excuse for the next one's head
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")


def test_one_address_gets_so_many_connections_and_all_get_so_many_streams(impatient: int) -> None:
    address = ("127.0.0.1", impatient)
    with ExitStack() as stack:
        first = stack.enter_context(closing(socket.create_connection(address)))
        first.sendall(b"GET /streams/original HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert first.recv(100).startswith(b"HTTP/1.1 200")
        second = raw(impatient, b"GET /streams/original HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert second.startswith(b"HTTP/1.1 429")
        for _ in range(2):
            stack.enter_context(closing(socket.create_connection(address)))
        refused = raw(impatient, b"")
        assert refused.startswith(b"HTTP/1.1 429")
        assert b'"busy"' in refused


def test_a_viewer_that_takes_nothing_is_let_go(impatient: int) -> None:
    with closing(socket.socket()) as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect(("127.0.0.1", impatient))
        idle.sendall(b"GET /streams/translated HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(600):  # until its place is free again
            answer = raw(impatient, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b"\ninloco_viewers 0.0" in answer:
                break
            sleep(0.1)
        assert b"\ninloco_viewers 0.0" in answer


def test_the_rate_limit_is_a_token_bucket_of_each_address() -> None:
    now, refusals = [100.0], set[int]()
    rate = RateLimit(5.0, lambda: now[0])

    def taken(address: str, attempts: int) -> int:
        count = 0
        for _ in range(attempts):
            try:
                rate.take(address)
                count += 1
            except Refusal as refused:
                refusals.add(refused.status)
        return count

    assert taken("a", 30) == 10, "a burst of two seconds' worth"
    assert taken("b", 3) == 3, "others are not touched"
    now[0] += 1.0
    assert taken("a", 30) == 5
    for number in range(10_000):
        rate.take(f"address {number}")
    assert len(rate._buckets) <= 4096
    assert refusals == {429}


def test_a_budget_is_given_back_also_after_an_error() -> None:
    budget = Budget(10, "too much")
    with budget.take(7):
        with pytest.raises(Refusal, match="too much"), budget.take(4):
            pass
        with budget.take(3):
            assert budget.taken == 10
    with pytest.raises(ZeroDivisionError), budget.take(10):
        1 / 0  # noqa: B018
    assert budget.taken == 0


def test_pictures_of_words_are_said_to_be_such_and_frozen_ones_too() -> None:
    pictures, both = LivePictures(), np.zeros((48, 128, 3), np.uint8)
    pictures.write(both, Mark(0, 0.0, captured=1.0))
    assert (pictures.lost, pictures.frozen) == ("", False)
    pictures.write(both, Mark(1, 0.0, captured=2.0, frozen=True))
    assert pictures.frozen
    for name, state in (("no_signal", "no signal"), ("engine_hung", "engine hung")):
        pictures.write(both, Mark(-1, 0.0, name))
        assert pictures.lost == state
        assert pictures.newest
        assert pictures.newest.sequence == -1
        assert pictures.newest.picture("translated").max() > 200, "words stand on it"
    number = pictures.newest.number if pictures.newest else 0
    pictures.write(both, Mark(-1, 0.0, "engine_hung"))
    assert pictures.newest
    assert pictures.newest.number == number, "said once"
    pictures.write(both, Mark(2, 0.0, captured=3.0))
    assert (pictures.lost, pictures.frozen) == ("", False)
