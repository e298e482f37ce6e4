"""The port to what operators follow one request by: its log lines, and its trace where wanted.

A request is known by its correlation, which its events keep: the work that they lead to elsewhere,
on another node even, finds its way back to the same trace by it.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias
from uuid import UUID

Attribute: TypeAlias = str | int | float | bool


class Span(Protocol):
    """A piece of work that takes time. What is said of it never holds what people wrote."""

    def rename(self, name: str) -> None: ...

    def note(self, **attributes: Attribute) -> None: ...

    def happened(self, what: str) -> None:
        """Mark a moment within it."""
        ...


class Tracer(Protocol):
    def request(self, name: str, correlation: UUID) -> AbstractContextManager[Span]:
        """Where the work of a correlation begins; from here on this task's log lines carry it."""
        ...

    def span(
        self, name: str, correlation: UUID, **attributes: Attribute
    ) -> AbstractContextManager[Span]:
        """A part of it, within the part that this task is in, if any."""
        ...

    def concerns(self, **ids: UUID) -> None:
        """Log lines of this task, and of tasks that it starts, carry these internal ids too."""
        ...


class _NoSpan:
    def rename(self, name: str) -> None: ...

    def note(self, **attributes: Attribute) -> None: ...

    def happened(self, what: str) -> None: ...


NO_SPAN: AbstractContextManager[Span] = nullcontext(_NoSpan())


class Untraced:
    """Nobody follows."""

    def request(self, name: str, correlation: UUID) -> AbstractContextManager[Span]:
        return NO_SPAN

    def span(
        self, name: str, correlation: UUID, **attributes: Attribute
    ) -> AbstractContextManager[Span]:
        return NO_SPAN

    def concerns(self, **ids: UUID) -> None: ...


UNTRACED = Untraced()
