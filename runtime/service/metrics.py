"""`/metrics` for Prometheus: read off the live objects at every scrape, so that nothing is counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.types import Scope

from runtime.stats import Distribution

if TYPE_CHECKING:
    from runtime.service.service import Service

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_UNKNOWN = "other"  # for paths that are not ours, so that nobody can make names without end


class Metrics:
    """One registry per service."""

    def __init__(self, service: Service, paths: frozenset[str]) -> None:
        self._paths = paths
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "inloco_http_requests", "Requests by path, method and status.", ["path", "method", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "inloco_http_request_seconds", "From a request's head to the end of its answer.", ["path"],
            buckets=_BOUNDS_S, registry=self._registry,
        )  # fmt: skip
        self._registry.register(_Live(service))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request."""
        path = scope["path"] if scope["path"] in self._paths else _UNKNOWN
        self._requests.labels(path, scope.get("method", "WEBSOCKET"), str(status)).inc()
        if not path.startswith("/streams"):  # an open stream has no latency
            self._seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)


class _Live(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        service = self._service
        yield _engine_info(service)
        yield GaugeMetricFamily("inloco_viewers", "Open streams of pictures.", service.viewers.taken)
        yield GaugeMetricFamily("inloco_translate_waiting", "Pictures in the queue.", service.translator.waiting)
        translate = HistogramMetricFamily("inloco_translate_seconds", "POST /translate, queue and engine.")
        translate.add_metric([], *_buckets(service.translator.latency))
        yield translate
        if service.live is not None:
            yield from self._stream()

    def _stream(self) -> Iterator[Metric]:
        live = self._service.live
        assert live is not None
        stages = HistogramMetricFamily(
            "inloco_stage_seconds", "Where the time of a frame goes; age is the whole way.", labels=["stage"]
        )
        for name, stage in live.stats.stages.items():
            stages.add_metric([name], *_buckets(stage))
        yield stages
        counters = live.counters()
        yield CounterMetricFamily("inloco_captured", "Frames that the source gave.", counters["captured"])
        yield CounterMetricFamily("inloco_frames", "Of them, delivered.", live.stats.frames)
        yield CounterMetricFamily("inloco_dropped", "Of them, replaced by a newer one.", counters["dropped"])
        yield CounterMetricFamily("inloco_refused", "Of them, such as no engine takes.", counters["refused"])
        yield CounterMetricFamily("inloco_unfinished", "Of them, cut off on their way.", counters["unfinished"])
        yield CounterMetricFamily("inloco_no_signal", "NO SIGNAL pictures delivered.", counters["no_signal"])
        yield CounterMetricFamily("inloco_reconnects", "Losses of the camera.", counters["losses"])
        yield GaugeMetricFamily("inloco_fps", "Frames a second since the start.", live.stats.fps)
        ladder = live.ladder()
        yield GaugeMetricFamily("inloco_ladder_level", "0 is the best engine.", ladder.level if ladder else 0)
        moves = CounterMetricFamily("inloco_ladder_moves", "Steps of the ladder taken.", labels=["direction"])
        for direction, count in live.stats.ladder_moves.items():
            moves.add_metric([direction], count)
        yield moves
        yield CounterMetricFamily("inloco_late", "Frames older than the ladder's deadline.", live.stats.late)
        yield _state(live.state())
        if self._service.recorder is not None:
            yield from _recording(self._service.recorder.counters())


def _engine_info(service: Service) -> Metric:
    engines = {manifest.sha256["engine"]: manifest for manifest in (service.manifest, *service.ladder)}
    info = GaugeMetricFamily(
        "inloco_engine_info", "The engine, and those of its ladder, by the hash of their bytes.",
        labels=["sha256", "file", "system", "precision", "backend"],
    )  # fmt: skip
    for digest, manifest in engines.items():
        labels = [digest, manifest.file, manifest.system, manifest.precision]
        info.add_metric([*labels, service.translator.backend], 1)
    return info


_RECORDED = {
    "frames": "Frames that are on the disk.",
    "dropped": "Frames that came faster than they could be encoded.",
    "lost": "Frames that came while the disk refused.",
    "segments": "Segments begun.",
    "bytes": "Bytes written.",
    "events": "Flagged events.",
    "failures": "Times that recording stopped.",
    "removed": "Segments removed by size or age.",
}


def _recording(counters: dict[str, int]) -> Iterator[Metric]:
    for name, about in _RECORDED.items():
        yield CounterMetricFamily(f"inloco_record_{name}", about, counters[name])


def _state(now: str) -> Metric:
    gauge = GaugeMetricFamily("inloco_stream_state", "1 at the state that holds.", labels=["state"])
    for state in ("starting", "live", "playing", "stale", "frozen", "no signal", "engine hung", "ended", "failed"):
        gauge.add_metric([state], float(state == now))
    return gauge


def _buckets(distribution: Distribution) -> tuple[list[tuple[str, float]], float]:
    """Prometheus' cumulative buckets, in seconds, and the sum."""
    count, points = distribution.count, distribution.cumulative()
    buckets = []
    for bound in _BOUNDS_S:
        share = max((reached for ms, reached in points if ms <= bound * 1e3), default=0.0)
        buckets.append((str(bound), float(round(share * count))))
    return [*buckets, ("+Inf", float(count))], distribution.total / 1e3
