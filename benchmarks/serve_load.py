"""Many clients on one service: nothing but 200 and 429 may come back, and its memory must stay where it is.

    python -m benchmarks.serve_load                              # the identity engine, 64 clients, 60 s
    python -m benchmarks.serve_load cyclegan_int8.onnx --seconds 30 --json

Of the clients one in eight watches the stream, one in eight reads /metrics or /controls, the others send pictures,
each as fast as it is answered; what is told 429 comes back after a tenth of a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import cv2
import httpx
import numpy as np
from tqdm import tqdm
from websockets.asyncio.client import connect

from benchmarks.c_api import write_identity
from benchmarks.machine import describe_machine
from benchmarks.percentiles import summarise
from runtime.errors import DONE, REFUSED, EngineError, run_command
from runtime.manifest import read_manifest

_PAUSE_S = 0.1  # of a client that was told 429
_READER_S = 0.05  # between two questions of those who read
_FIRST_SHARE = 0.25  # of the time, after which memory must stay where it is
_RSS_EVERY_S = 0.25
_ANSWER_S = 30.0


@dataclass
class Tally:
    """What the clients saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies_ms: dict[str, list[float]] = field(default_factory=lambda: {"translate": [], "read": []})
    pictures: int = 0  # of the live stream, all viewers together
    rss_mib: list[float] = field(default_factory=list)

    @property
    def errors(self) -> dict[str, int]:
        """Everything but 200 and 429."""
        return {status: count for status, count in self.statuses.items() if status not in ("200", "429")}


@contextmanager
def service(engine: Path) -> Iterator[tuple[str, int]]:
    """(URL, process id) of a service with a moving pattern as its source and no limit on the rate."""
    command = [sys.executable, "-m", "runtime.serve", "--engine", str(engine), "--source", "synthetic:@15"]
    with subprocess.Popen([*command, "--port", "0", "--rate", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise EngineError("the service did not start; its own words stand above")
        try:
            yield json.loads(line)["url"].rstrip("/"), process.pid
        finally:
            process.terminate()


async def load(url: str, pid: int, picture: bytes, clients: int, seconds: float) -> Tally:
    """Let `clients` at the service for so long."""
    tally, end = Tally(), perf_counter() + seconds
    headers = {"accept": "image/jpeg"}
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=_ANSWER_S, limits=limits, headers=headers) as client:
        jobs: list[Awaitable[None]] = [_watch_memory(pid, tally, end)]
        for number in range(clients):
            if number % 8 == 0:
                jobs.append(_view(url, tally, end))
            elif number % 8 == 1:
                jobs.append(_repeat("read", partial(_read, client, number), tally, end))
            else:
                jobs.append(_repeat("translate", partial(_send, client, picture), tally, end))
        await asyncio.gather(*jobs)
    return tally


async def _send(client: httpx.AsyncClient, picture: bytes) -> httpx.Response:
    return await client.post("/translate", content=picture)


async def _read(client: httpx.AsyncClient, number: int) -> httpx.Response:
    await asyncio.sleep(_READER_S)
    return await client.get("/metrics" if number % 16 == 1 else "/controls")


async def _repeat(kind: str, ask: Callable[[], Awaitable[httpx.Response]], tally: Tally, end: float) -> None:
    while perf_counter() < end:
        started = perf_counter()
        try:
            answer = await ask()
        except httpx.HTTPError as error:
            tally.statuses[type(error).__name__] += 1
            await asyncio.sleep(_PAUSE_S)
            continue
        tally.statuses[str(answer.status_code)] += 1
        if answer.status_code == 200:
            tally.latencies_ms[kind].append((perf_counter() - started) * 1e3)
        else:
            await asyncio.sleep(_PAUSE_S)


async def _view(url: str, tally: Tally, end: float) -> None:
    try:
        async with connect(url.replace("http", "ws", 1) + "/streams", open_timeout=_ANSWER_S) as socket:
            while perf_counter() < end:
                message = await socket.recv()
                assert isinstance(message, bytes)
                length = int.from_bytes(message[:4], "big")
                if len(message) > 4 + length:  # it holds pictures
                    tally.pictures += 1
                    await socket.send("next")
        tally.statuses["200"] += 1
    except Exception as error:  # whatever it is, the benchmark tells it as an error
        tally.statuses[f"viewer: {type(error).__name__}"] += 1


async def _watch_memory(pid: int, tally: Tally, end: float) -> None:
    with tqdm(total=round(end - perf_counter()), unit="s", leave=False) as bar:
        started = perf_counter()
        while perf_counter() < end:
            tally.rss_mib.append(resident_mib(pid))
            bar.n = round(perf_counter() - started)
            bar.refresh()
            await asyncio.sleep(_RSS_EVERY_S)


def resident_mib(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise EngineError("the service has ended; its own words stand above")


def describe(tally: Tally, seconds: float) -> dict[str, Any]:
    """The figures, for people and for JSON. Memory grows by the median of its last quarter less that of its second."""
    rss = tally.rss_mib[int(len(tally.rss_mib) * _FIRST_SHARE) :]
    quarter = max(1, len(rss) // 3)
    return {
        "statuses": dict(tally.statuses),
        "errors": tally.errors,
        "answered_per_s": round(tally.statuses["200"] / seconds, 1),
        "pictures_per_s": round(tally.pictures / seconds, 1),
        "latency_ms": {kind: summarise(values) for kind, values in tally.latencies_ms.items() if values},
        "rss_mib": {
            "start": round(tally.rss_mib[0], 1),
            "highest": round(max(tally.rss_mib), 1),
            "growth": round(float(np.median(rss[-quarter:]) - np.median(rss[:quarter])), 1),
        },
    }


def measure(engine: Path, clients: int, seconds: float) -> dict[str, Any]:
    """Start a service, load it, and say what came back."""
    port = read_manifest(engine).frame
    if port is None or port.dtype != "uint8":
        raise EngineError(f"{engine} takes no 8-bit frame, which this benchmark sends")
    noise = np.random.default_rng(0).integers(0, 255, (port.height // 8, port.width // 8, port.channels), np.uint8)
    frame = cv2.resize(noise, (port.width, port.height)).reshape(port.shape)
    picture = bytes(cv2.imencode(".jpg", frame)[1])
    with service(engine) as (url, pid):
        return describe(asyncio.run(load(url, pid, picture, clients, seconds)), seconds)


def main() -> int:
    """Measure; exit code 1 where anything but 200 and 429 came back."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve_load",
        description="Load a service with many clients on loopback.",
        epilog="example: python -m benchmarks.serve_load cyclegan_int8.onnx --clients 64 --seconds 60",
    )
    parser.add_argument("engine", nargs="?", type=Path, help="default: the identity engine, 256×256×3")
    parser.add_argument("--clients", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=60.0, help="default: %(default)g")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        figures = measure(arguments.engine or write_identity(Path(folder)), arguments.clients, arguments.seconds)
    if arguments.json:
        print(json.dumps({"machine": describe_machine(), **figures}, indent=2))
    else:
        print("\n".join(f"{name:<16}{value}" for name, value in figures.items()))
    return REFUSED if figures["errors"] else DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
