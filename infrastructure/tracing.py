"""Implements `application.tracing`: ids on log lines always, OpenTelemetry traces where wanted.

The trace of a request has the correlation's UUID for its id, and its first span the last half of
it. So whoever has an event, on whatever node and however late, can add to the trace: no context
travels with it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from socket import gethostname
from time import monotonic, time_ns
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from application.errors import ConfigurationError
from application.tracing import NO_SPAN, Attribute, Span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import SpanContext

FLUSHED_WITHIN = 2.0
"""Seconds for the last spans when the server stops: a collector that is away holds up nobody."""

TRACES_PATH = "/v1/traces"
_ALL = 1 << 56
"""As many values have the bits at a trace id's end that are random, by W3C Trace Context.

A UUIDv7's are, too."""

_CONVENTIONS = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "error": "error.type",
    "model": "gen_ai.request.model",
    "answered_by": "gen_ai.response.model",
    "finish_reason": "gen_ai.response.finish_reasons",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
}
"""Our attributes that OpenTelemetry has a name for; all others are `dabir.…`."""


class LogTracer:
    """No traces: the ids of a request on its log lines, and nothing else."""

    def request(self, name: str, correlation: UUID) -> AbstractContextManager[Span]:
        # A task can be begun by another one's, a socket's or a connection's, and take its ids over.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request=str(correlation))
        return NO_SPAN

    def span(
        self, name: str, correlation: UUID, **attributes: Attribute
    ) -> AbstractContextManager[Span]:
        return NO_SPAN

    def concerns(self, **ids: UUID) -> None:
        structlog.contextvars.bind_contextvars(**{name: str(value) for name, value in ids.items()})

    def done(
        self, name: str, correlation: UUID, began: float, ended: float, **attributes: Attribute
    ) -> None:
        """A span that is over; times are those of `time.monotonic`. From any thread."""

    async def close(self) -> None: ...


def tracer_of(endpoint: str | None, ratio: float, version: str) -> LogTracer:
    """The tracer that the settings ask for. OpenTelemetry is not even imported without `endpoint`.

    `endpoint` takes OTLP over HTTP, `/v1/traces` is added where it is missing. `ratio` of the
    requests are traced, each entirely, on every node. Raises ConfigurationError.
    """
    if endpoint is None:
        return LogTracer()
    try:
        return OtelTracer(endpoint, ratio, version)
    except ModuleNotFoundError:
        raise ConfigurationError(
            "DABIR_OTEL_ENDPOINT needs the extra `otel`: install dabir[otel], or unset it."
        ) from None


class OtelTracer(LogTracer):
    def __init__(self, endpoint: str, ratio: float, version: str) -> None:
        self._provider = _provider(endpoint, version)
        self._tracer = self._provider.get_tracer("dabir", version)
        self._bound = round(ratio * _ALL)

    def request(self, name: str, correlation: UUID) -> AbstractContextManager[Span]:
        super().request(name, correlation)
        return self._root(name, correlation) if self._wanted(correlation) else NO_SPAN

    def span(
        self, name: str, correlation: UUID, **attributes: Attribute
    ) -> AbstractContextManager[Span]:
        if not self._wanted(correlation):
            return NO_SPAN
        return self._within(name, correlation, attributes)

    def concerns(self, **ids: UUID) -> None:
        from opentelemetry.trace import get_current_span

        super().concerns(**ids)
        for name, value in ids.items():
            get_current_span().set_attribute(f"dabir.{name}", str(value))

    def done(
        self, name: str, correlation: UUID, began: float, ended: float, **attributes: Attribute
    ) -> None:
        if self._wanted(correlation):
            from opentelemetry.trace import NonRecordingSpan, set_span_in_context

            now, wall = monotonic(), time_ns()
            span = self._tracer.start_span(
                name,
                set_span_in_context(NonRecordingSpan(_root_of(correlation))),
                attributes=_named(attributes),
                start_time=wall - round((now - began) * 1e9),
            )
            span.end(wall - round((now - ended) * 1e9))

    async def close(self) -> None:
        """Send what is left, if that goes at once."""
        # In a thread of its own, which nobody waits for longer.
        flushing = asyncio.ensure_future(asyncio.to_thread(self._provider.shutdown))
        await asyncio.wait({flushing}, timeout=FLUSHED_WITHIN)

    def _wanted(self, correlation: UUID) -> bool:
        return correlation.int & (_ALL - 1) < self._bound

    @contextmanager
    def _root(self, name: str, correlation: UUID) -> Iterator[Span]:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        chosen = _chosen.set(correlation)
        try:
            span = self._tracer.start_span(name, Context(), kind=SpanKind.SERVER)
        finally:
            _chosen.reset(chosen)
        with _current(span) as current:
            yield current

    @contextmanager
    def _within(
        self, name: str, correlation: UUID, attributes: dict[str, Attribute]
    ) -> Iterator[Span]:
        from opentelemetry.trace import NonRecordingSpan, get_current_span, set_span_in_context

        here = get_current_span().get_span_context()
        context = None
        if here.trace_id != correlation.int:
            context = set_span_in_context(NonRecordingSpan(_root_of(correlation)))
        span = self._tracer.start_span(name, context, attributes=_named(attributes))
        with _current(span) as current:
            yield current


class _OtelSpan:
    """Implements `application.tracing.Span`."""

    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, **attributes: Attribute) -> None:
        self._span.set_attributes(_named(attributes))

    def happened(self, what: str) -> None:
        self._span.add_event(what)


@contextmanager
def _current(span: OtelSpan) -> Iterator[Span]:
    from opentelemetry.trace import Status, StatusCode, use_span

    # An exception's own words can quote what a person wrote: its class is told, and no more.
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield _OtelSpan(span)
        except BaseException as error:
            if isinstance(error, Exception):
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            span.set_attribute("error.type", type(error).__name__)
            raise


_chosen: ContextVar[UUID | None] = ContextVar("chosen", default=None)
"""The correlation whose first span is being made."""


def _span_id(correlation: UUID) -> int:
    return correlation.int & (2**64 - 1)  # never 0, as a UUID's variant lies in it


def _root_of(correlation: UUID) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(
        correlation.int, _span_id(correlation), is_remote=True, trace_flags=TraceFlags(1)
    )


def _named(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    return {_CONVENTIONS.get(name, f"dabir.{name}"): each for name, each in attributes.items()}


def _provider(endpoint: str, version: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import (
        SERVICE_INSTANCE_ID,
        SERVICE_NAME,
        SERVICE_VERSION,
        Resource,
    )
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    class CorrelatedIds(RandomIdGenerator):
        """A request's first span has the ids that its correlation gives; all others any."""

        def generate_trace_id(self) -> int:
            chosen = _chosen.get()
            return chosen.int if chosen else super().generate_trace_id()

        def generate_span_id(self) -> int:
            chosen = _chosen.get()
            return _span_id(chosen) if chosen else super().generate_span_id()

    own = {SERVICE_VERSION: version, SERVICE_INSTANCE_ID: f"{gethostname()}:{os.getpid()}"}
    if "OTEL_SERVICE_NAME" not in os.environ:
        own[SERVICE_NAME] = "dabir"
    # Which requests are traced was decided by then, alike on all nodes.
    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=Resource.create(own),
        id_generator=CorrelatedIds(),
        shutdown_on_exit=False,
    )
    url = endpoint.rstrip("/")
    exporter = OTLPSpanExporter(url if url.endswith(TRACES_PATH) else url + TRACES_PATH)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
