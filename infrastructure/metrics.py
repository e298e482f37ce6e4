"""The numbers of a running service, for Prometheus."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from infrastructure.figures import Figures, buckets_of, count_of, counts_by, measured
from infrastructure.quick_histogram import QuickHistogram

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Each method says what happened, or where to ask. Labels take few values, all known ahead."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = self._counter(
            "http_requests", "HTTP requests by route and status", "route", "status"
        )
        self._socket_requests = self._seconds(
            "socket_request_seconds", "Answering a request on a socket", 0.001, "request"
        )
        self._refusals = self._counter(
            "refusals", "Requests refused, by where and code", "where", "code"
        )
        self._faults = self._counter("faults", "Bugs and broken engines, by where", "where")
        self._streams = self._gauge("open_streams", "SSE streams open now")
        self._sockets = self._gauge("sockets", "Socket.IO connections open now")
        self._started = self._counter("replies_started", "Replies begun")
        self._ended = self._counter(
            "replies_ended", "Replies ended, by outcome and error code", "outcome", "code"
        )
        self._first_token = self._seconds(
            "time_to_first_token_seconds", "From a reply's start to its first text", 0.05
        )
        self._gap = QuickHistogram(
            "dabir_token_gap_seconds",
            "Between two pieces of text of one reply",
            buckets_from(0.005),
            self._registry,
        )
        self._batch = Histogram(
            "dabir_append_batch_size",
            "Commands written in one transaction of the log",
            buckets=[2**n for n in range(11)],
            registry=self._registry,
        )
        self._append = self._seconds("append_seconds", "Writing one batch to the log", 0.0005)
        self._wait = self._seconds(
            "append_wait_seconds", "How long the first of a batch waited for its turn", 0.0005
        )
        self._database = self._gauge("database_up", "Whether the last write reached the database")
        self._live_store = self._gauge(
            "live_store_up", "Whether the store of replies' text under way is reached"
        )
        self._lag = self._gauge("views_lag", "Events that the views are behind the log")
        self._delay = self._seconds(
            "views_delay_seconds", "From an event's append until the views show it", 0.001
        )
        self._runner = self._gauge("views_runner", "Whether this node keeps the views up")
        self._set_aside = self._gauge("views_set_aside", "Streams that a view could not apply")
        self._unsealed = self._gauge(
            "log_unsealed", "Events of the log that no checkpoint was signed for"
        )
        self._holds = self._gauge("holds_open", "Holds on people's balances open now")
        self._oldest_hold = self._gauge("oldest_hold_seconds", "Age of the oldest of them")
        self._orphans = self._gauge(
            "orphaned_replies", "Replies whose node is gone, when this one last looked"
        )
        self._leases_lost = self._counter("leases_lost", "Times this node lost its lease")
        self._upstream = self._counter(
            "upstream_calls", "Calls to model providers, by model and outcome", "model", "outcome"
        )
        self._readiness = _Readiness()
        self._registry.register(self._readiness)
        self._database.set(1)
        self._live_store.set(1)

    def request_answered(self, route: str, status: int) -> None:
        """`route` is the pattern, never the path: paths hold ids."""
        self._requests.labels(route, str(status)).inc()

    def socket_request_answered(self, request: str, seconds: float) -> None:
        self._socket_requests.labels(request).observe(seconds)

    def refused(self, where: str, code: str) -> None:
        self._refusals.labels(where, code).inc()

    def fault(self, where: str) -> None:
        self._faults.labels(where).inc()

    def stream_opened(self) -> None:
        self._streams.inc()

    def stream_closed(self) -> None:
        self._streams.dec()

    def socket_connected(self) -> None:
        self._sockets.inc()

    def socket_disconnected(self) -> None:
        self._sockets.dec()

    def reply_started(self) -> None:
        self._started.inc()

    def reply_ended(self, outcome: str, code: str = "") -> None:
        self._ended.labels(outcome, code).inc()

    def first_token_arrived(self, seconds: float) -> None:
        self._first_token.observe(seconds)

    def token_arrived(self, seconds: float) -> None:
        """`seconds` after the one before it."""
        self._gap.observe(seconds)

    def batch_appended(self, commands: int, seconds: float, waited: float, reached: bool) -> None:
        """`reached` is False where the database was not to be had."""
        self._database.set(reached)
        self._batch.observe(commands)
        self._append.observe(seconds)
        self._wait.observe(waited)

    def views_applied(self, seconds: float) -> None:
        """`seconds` after the first event of the batch was appended."""
        self._delay.observe(seconds)

    def lease_lost(self) -> None:
        self._leases_lost.inc()

    def upstream_called(self, model: str, outcome: str) -> None:
        self._upstream.labels(model, outcome).inc()

    # What is asked whenever somebody reads the metrics, and must not block

    def watch_views(
        self,
        lag: Callable[[], float],
        set_aside: Callable[[], float],
        runner: Callable[[], bool] = lambda: True,
    ) -> None:
        self._lag.set_function(lag)
        self._set_aside.set_function(set_aside)
        self._runner.set_function(runner)

    def watch_holds(
        self,
        count: Callable[[], float],
        oldest: Callable[[], float] = lambda: 0.0,
        orphans: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`oldest` is an age in seconds."""
        self._holds.set_function(count)
        self._oldest_hold.set_function(oldest)
        self._orphans.set_function(orphans)

    def watch_unsealed(self, count: Callable[[], float]) -> None:
        self._unsealed.set_function(count)

    def watch_live_store(self, up: Callable[[], bool]) -> None:
        self._live_store.set_function(up)

    def watch_readiness(self, checks: Mapping[str, Callable[[], str | None]]) -> None:
        """`checks` by name, as `/readyz` asks them: each says what is wrong, or None."""
        self._readiness.checks = checks

    def figures(self) -> Figures:
        return Figures(
            requests=count_of(self._requests) + measured(self._socket_requests),
            replies_started=count_of(self._started),
            replies_ended=count_of(self._ended),
            pieces=measured(self._first_token) + measured(self._gap),
            refusals=counts_by(self._refusals, "code"),
            faults=counts_by(self._faults, "where"),
            failures=counts_by(self._ended, "code"),
            open_streams=count_of(self._streams),
            open_sockets=count_of(self._sockets),
            first_token=buckets_of(self._first_token),
            append=buckets_of(self._append),
        )

    def render(self) -> bytes:
        """Everything in Prometheus' text format, `METRICS_TYPE`."""
        return generate_latest(self._registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"dabir_{name}", words, labels, registry=self._registry)

    def _gauge(self, name: str, words: str) -> Gauge:
        return Gauge(f"dabir_{name}", words, registry=self._registry)

    def _seconds(self, name: str, words: str, shortest: float, *labels: str) -> Histogram:
        return Histogram(
            f"dabir_{name}",
            words,
            labels,
            buckets=buckets_from(shortest),
            registry=self._registry,
        )


def buckets_from(shortest: float) -> list[float]:
    """Upper bounds in seconds, each twice the one before."""
    return [shortest * 2**n for n in range(12)]


class _Readiness(Collector):
    def __init__(self) -> None:
        self.checks: Mapping[str, Callable[[], str | None]] = {}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        unready = GaugeMetricFamily(
            "dabir_unready", "Whether a reason keeps requests away", labels=["reason"]
        )
        for name, check in self.checks.items():
            unready.add_metric([name], 0.0 if check() is None else 1.0)
        yield unready
