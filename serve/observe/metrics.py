"""Metrics of the service for Prometheus. Owns their names and buckets; nothing of a request but counts gets in.

What is counted elsewhere (queue, workers, jobs, model) is asked for when somebody scrapes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from repair.verdicts import Verdict
from serve.observe import stages, traces
from serve.observe.stages import STAGES, Stage
from serve.telling import Told
from serve.wire_jobs import JobState

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 120.0)  # seconds
_SPANS: Mapping[Stage, str] = {
    "queue": "queue", "suspects": "suspects", "first_candidate": "candidates", "repair": "judging"
}  # fmt: skip
_STATES: tuple[JobState, ...] = ("queued", "running", "succeeded", "failed", "cancelled", "infra_error")
# How repair.oracles.judging says that the sandbox ended a run
_KILLS = {
    "did not end within": "wall",
    "of CPU time": "cpu",
    "used more memory than allowed": "memory",
    "printed more than allowed": "output",
    "wrote more to the disk than allowed": "disk",
    "started more processes than allowed": "processes",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How full the service is, at one moment. `model_up` None: nobody knows."""

    waiting: int = 0
    running: int = 0
    workers: int = 0
    jobs: Mapping[str, int] = field(default_factory=dict[str, int])
    model_up: bool | None = None


def kill_reason(reason: str) -> str:
    """Which limit of the sandbox a test run's reason tells of, "" for none."""
    return next((kind for words, kind in _KILLS.items() if words in reason), "")


class Metrics:
    """All metrics, in a registry of their own. Safe to use from threads."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        reg = self.registry
        self.requests = Counter("emend_http_requests", "Answers by route", ("route", "method", "status"), registry=reg)
        self.seconds = Histogram(
            "emend_http_seconds", "Until the answer had ended", ("route",), buckets=BUCKETS, registry=reg
        )
        self.first_byte = Histogram(
            "emend_http_first_byte_seconds", "Until the answer began", ("route",), buckets=BUCKETS, registry=reg
        )
        self.stages = Histogram(
            "emend_stage_seconds",
            "From the arrival to the end of a stage of repair",
            ("stage",),
            buckets=BUCKETS,
            registry=reg,
        )
        self.verdicts = Counter("emend_verdicts", "Judged candidates by verdict", ("verdict",), registry=reg)
        self.tokens = Counter("emend_tokens", "Tokens of the model", ("kind",), registry=reg)
        self.test_runs = Counter("emend_test_runs", "Runs of tests", registry=reg)
        self.kills = Counter("emend_sandbox_kills", "Test runs that a limit ended", ("reason",), registry=reg)
        self.explanations = Counter("emend_explanations", "Explanations asked for", ("outcome",), registry=reg)
        self.explanation_seconds = Histogram(
            "emend_explanation_seconds", "Until an explanation was there", buckets=BUCKETS, registry=reg
        )
        self.explainer_ends = Counter(
            "emend_explainer_ends", "Ends of the explaining process", ("reason",), registry=reg
        )
        self._begin_with_zeros()

    def _begin_with_zeros(self) -> None:
        """A rate can only be told of what has been there before."""
        for verdict in Verdict:
            self.verdicts.labels(verdict.value)
        for kind in ("prompt", "completion"):
            self.tokens.labels(kind)
        for kind in _KILLS.values():
            self.kills.labels(kind)
        for stage in STAGES:
            self.stages.labels(stage)
        for outcome in ("computed", "cached", "refused", "failed", "left"):
            self.explanations.labels(outcome)
        for reason in ("crash", "recycled", "late", "memory", "left"):
            self.explainer_ends.labels(reason)

    def gauges(self, snapshot: Callable[[], Snapshot]) -> None:
        """Ask `snapshot` at each scrape, in the scraping thread; what it raises shows as absent gauges."""
        self.registry.register(_Gauges(snapshot))  # pyright: ignore[reportArgumentType] - a Collector by its shape

    def observe(self, told: Told) -> None:
        """Count what an event of a repair tells; never raises for what it does not know."""
        if told.name == "candidate":
            self._candidate(json.loads(told.data))
        elif told.name == "result":
            self._cost(json.loads(told.data).get("cost", {}))

    def course(self, *, clock: Callable[[], float] = time.monotonic) -> Course:
        """Follow one repair that has arrived now."""
        return Course(self, clock)

    def waited(self, seconds: float) -> None:
        """A worker has taken a repair that arrived so many seconds ago; for runners that know it (`serve.pool`)."""
        self.stages.labels("queue").observe(seconds)
        stages.ended("queue", seconds)
        traces.finished("queue", seconds)

    def answered(self, route: str, method: str, status: int, *, seconds: float, first_byte: float) -> None:
        """Count an HTTP answer; `route` is a template."""
        self.requests.labels(route, method, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        self.first_byte.labels(route).observe(first_byte)

    def explained(self, outcome: str, seconds: float | None = None) -> None:
        """Count an explanation; `seconds` where one was computed."""
        self.explanations.labels(outcome).inc()
        if seconds is not None:
            self.explanation_seconds.observe(seconds)

    def explainer_ended(self, reason: str) -> None:
        """Count an end of the explaining process."""
        self.explainer_ends.labels(reason).inc()

    def render(self) -> tuple[bytes, str]:
        """The text for Prometheus and its content type. May block on the snapshot: call it in a thread."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def _candidate(self, patch: Mapping[str, Any]) -> None:
        verdict = str(patch.get("verdict", ""))
        self.verdicts.labels(verdict if verdict in set(Verdict) else "other").inc()
        tests = patch.get("tests") or {}
        if kind := kill_reason(str(tests.get("reason", ""))):
            self.kills.labels(kind).inc()

    def _cost(self, cost: Mapping[str, Any]) -> None:
        self.tokens.labels("prompt").inc(max(0, int(cost.get("prompt_tokens", 0))))
        self.tokens.labels("completion").inc(max(0, int(cost.get("completion_tokens", 0))))
        self.test_runs.inc(max(0, int(cost.get("test_runs", 0))))


class Course:
    """One repair on its way: each stage is observed once, in seconds since it arrived, and traced from the last one."""

    __slots__ = ("_began", "_clock", "_last", "_metrics", "_seen")

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._metrics, self._clock = metrics, clock
        self._began = self._last = clock()
        self._seen: set[Stage] = set()

    def started(self) -> None:
        """A worker has taken it."""
        self._stage("queue")

    def observe(self, told: Told) -> None:
        """An event of it."""
        match told.name:
            case "suspects" | "localization":
                self._stage("suspects")
            case "candidate":
                self._stage("first_candidate")
            case "result":
                self._stage("repair")
            case _:
                pass
        self._metrics.observe(told)

    def _stage(self, stage: Stage) -> None:
        if stage in self._seen:
            return
        self._seen.add(stage)
        now = self._clock()
        self._metrics.stages.labels(stage).observe(now - self._began)
        stages.ended(stage, now - self._began)
        traces.finished(_SPANS[stage], now - self._last)
        self._last = now


class _Gauges:
    """A collector of prometheus_client over a snapshot."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[GaugeMetricFamily]:
        """Names only: registering must not ask."""
        return list(_families(Snapshot()))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of this moment."""
        try:
            snapshot = self._snapshot()
        except Exception:  # noqa: BLE001 - a store that is down must not hide all other metrics
            return
        yield from _families(snapshot)


def _families(snapshot: Snapshot) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily("emend_waiting", "Requests that wait for a worker", snapshot.waiting)
    yield GaugeMetricFamily("emend_running", "Requests in work", snapshot.running)
    yield GaugeMetricFamily("emend_workers", "Repair processes alive", snapshot.workers)
    jobs = GaugeMetricFamily("emend_jobs", "Jobs by state", labels=("state",))
    for state in _STATES:
        jobs.add_metric((state,), snapshot.jobs.get(state, 0))
    yield jobs
    if snapshot.model_up is not None:
        yield GaugeMetricFamily("emend_model_up", "Whether the model answers", int(snapshot.model_up))
