"""What operators see of a running service: logs on stderr, and numbers for Prometheus."""

import logging
import re
import sys
from collections.abc import Callable

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from structlog.typing import EventDict, Processor, WrappedLogger

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_QUERY = re.compile(r"\?([^\s\"]*=[^\s\"]*)")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]+")
_HARMLESS = frozenset({"EIO", "transport", "t", "chat_id", "reply_id"})
"""Query parameters shown in logs. Stream tokens, event ids and Engine.IO's `sid` open something."""

_QUIET = {
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    # Its records can hold what a provider answered, keys and people's text included.
    "LiteLLM": logging.CRITICAL,
}
_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")


def redacted(text: str) -> str:
    """The text without what a log must not hold: secrets in query strings, bearer tokens."""
    return _BEARER.sub(r"\1[redacted]", _QUERY.sub(_redacted_query, text))


def _redacted_query(match: re.Match[str]) -> str:
    return "?" + "&".join(_redacted_parameter(part) for part in match[1].split("&"))


def _redacted_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return parameter if not equals or name in _HARMLESS else f"{name}=[redacted]"


_NOT_OURS = ("color_message", "litellm_redacted")
"""What libraries hang on their records for handlers of their own."""


def _drop_extras(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name in _NOT_OURS:
        event.pop(name, None)
    return event


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = redacted(value)
    return event


def configure_logging(level: int = logging.INFO) -> None:
    """Sends structlog's and the standard library's records to stderr.

    People at a terminal get lines, everything else JSON. uvicorn must run with `log_config=None`,
    or it replaces this.
    """
    stamps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _drop_extras,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *stamps,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=stamps,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(sys.stderr.isatty()),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    _calm_libraries()


def _rendering(terminal: bool) -> list[Processor]:
    # Tracebacks without local variables: those hold people's texts and keys.
    written: list[Processor] = [structlog.processors.format_exc_info, _redact]
    if terminal:
        return [*written, structlog.dev.ConsoleRenderer()]
    return [*written, structlog.processors.JSONRenderer(ensure_ascii=False)]


def _calm_libraries() -> None:
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


class Metrics:
    """The service's numbers. The composition root feeds it; each method says what happened."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = self._counter(
            "http_requests", "HTTP requests by route and status", "route", "status"
        )
        self._streams = self._gauge("open_streams", "SSE streams open now")
        self._sockets = self._gauge("sockets", "Socket.IO connections open now")
        self._started = self._counter("replies_started", "Replies begun")
        self._ended = self._counter(
            "replies_ended", "Replies ended, by outcome and error code", "outcome", "code"
        )
        self._first_token = self._seconds(
            "time_to_first_token_seconds", "From a reply's start to its first text", 0.05
        )
        self._batch = Histogram(
            "dabir_append_batch_size",
            "Commands written in one transaction of the log",
            buckets=[2**n for n in range(11)],
            registry=self._registry,
        )
        self._append = self._seconds("append_seconds", "Writing one batch to the log", 0.0005)
        self._lag = self._gauge("views_lag", "Events that the views are behind the log")
        self._set_aside = self._gauge("views_set_aside", "Streams that a view could not apply")
        self._unsealed = self._gauge(
            "log_unsealed", "Events of the log that no checkpoint was signed for"
        )
        self._holds = self._gauge("holds_open", "Holds on people's balances open now")
        self._upstream = self._counter(
            "upstream_calls", "Calls to model providers, by model and outcome", "model", "outcome"
        )

    def request_answered(self, route: str, status: int) -> None:
        """`route` is the pattern, never the path: paths hold ids."""
        self._requests.labels(route, str(status)).inc()

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

    def batch_appended(self, commands: int, seconds: float) -> None:
        self._batch.observe(commands)
        self._append.observe(seconds)

    def upstream_called(self, model: str, outcome: str) -> None:
        self._upstream.labels(model, outcome).inc()

    def watch_views(self, lag: Callable[[], float], set_aside: Callable[[], float]) -> None:
        """Both are asked whenever somebody reads the metrics, and must not block."""
        self._lag.set_function(lag)
        self._set_aside.set_function(set_aside)

    def watch_holds(self, count: Callable[[], float]) -> None:
        self._holds.set_function(count)

    def watch_unsealed(self, count: Callable[[], float]) -> None:
        self._unsealed.set_function(count)

    def render(self) -> bytes:
        """Everything in Prometheus' text format, `METRICS_TYPE`."""
        return generate_latest(self._registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"dabir_{name}", words, labels, registry=self._registry)

    def _gauge(self, name: str, words: str) -> Gauge:
        return Gauge(f"dabir_{name}", words, registry=self._registry)

    def _seconds(self, name: str, words: str, shortest: float) -> Histogram:
        buckets = [shortest * 2**n for n in range(12)]
        return Histogram(f"dabir_{name}", words, buckets=buckets, registry=self._registry)
