"""What one client may take: numbers, token buckets per address, and a budget of bytes for all uploads together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from runtime.service.refusal import Refusal, busy

_ADDRESSES = 4096  # remembered; the one that was silent longest is forgotten first


@dataclass(frozen=True)
class Limits:
    """All of them; those that a command line sets come first."""

    rate: float = 60.0  # requests a second from one address, twice as many in a burst; 0 = no limit
    upload_bytes: int = 32 << 20  # of one picture
    pixels: int = 40_000_000  # of one picture, told before it is decoded
    waiting: int = 8  # pictures that wait for the engine
    viewers: int = 64  # open streams
    uploads_bytes: int = 256 << 20  # of all pictures that are being received
    upload_s: float = 20.0  # for a whole body to arrive
    header_s: float = 10.0  # for a request's head to arrive
    send_s: float = 5.0  # for a client to take a picture of a stream
    translate_s: float = 30.0  # for the engine to answer, its queue included
    connections: int = 512
    connections_each: int = 128  # from one address


class RateLimit:
    """A token bucket for each address: `rate` tokens a second, at most two seconds' worth."""

    def __init__(self, rate: float, clock: Callable[[], float] = monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address → (tokens, when)

    def take(self, address: str) -> None:
        """Count one request. Raises Refusal (429) when the bucket is empty."""
        if not self._rate:
            return
        now, most = self._clock(), 2 * self._rate
        tokens, since = self._buckets.pop(address, (most, now))
        tokens = min(most, tokens + (now - since) * self._rate)
        enough = tokens >= 1
        self._buckets[address] = (tokens - enough, now)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        if not enough:
            raise Refusal(
                429, "rate_limited", f"more than {self._rate:g} requests a second came from this address; slow down",
                {"Retry-After": "1"},
            )  # fmt: skip


class Budget:
    """So much of something for all clients together. Used by one thread."""

    def __init__(self, most: int, what: str) -> None:
        self.taken = 0
        self._most, self._what = most, what

    @contextmanager
    def take(self, amount: int = 1) -> Iterator[None]:
        """Hold `amount` while the block runs. Raises Refusal (429) when so much is not left."""
        if self.taken + amount > self._most:
            raise busy(self._what)
        self.taken += amount
        try:
            yield
        finally:
            self.taken -= amount
