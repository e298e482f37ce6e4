"""`dabir events`: the log, read by filters, one event whole, and as it grows."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from interfaces.cli.arguments import AsJson, DataDir, count, flag, optional_time, optional_uuid
from interfaces.cli.names import id_of, names_of
from interfaces.cli.output import print_facts, print_json, print_table, printable, say

if TYPE_CHECKING:
    from application.ledger.event_view import EventView
    from application.ledger.ports import EventFilter, Ledger, StoredEvent

OpenLedger = Callable[[Path | None], "AbstractContextManager[Ledger]"]

FOLLOW_SECONDS = 0.25
"""How late an event is seen: looking costs one step into an index."""

COLUMNS = ("position", "at", "stream", "version", "event", "by", "bytes", "personal")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """Which events; what is not given narrows nothing."""

    stream: Annotated[str | None, flag("Of this stream: a chat, or a principal's account.")] = None
    principal: Annotated[
        str | None, flag("Of what user:SUB, anon:ID or an internal id owns, or did.")
    ] = None
    type: Annotated[
        tuple[str, ...], flag("Such as chat.message-sent, or chat. for all of them; repeatable.")
    ] = ()
    after: Annotated[int, count("Beyond this position.")] = 0
    until: Annotated[int | None, count("Up to this position.")] = None
    since: Annotated[str | None, flag("Recorded at this time or later.")] = None
    before: Annotated[str | None, flag("Recorded before this time.")] = None
    correlation: Annotated[str | None, flag("Of this request.")] = None

    def wanted(self, ledger: "Ledger") -> "EventFilter":
        """Raises ConfigurationError, InvalidRequest, NotInLog."""
        from application.ledger.ports import EventFilter

        principal = self.principal
        return EventFilter(
            after=self.after,
            until=self.until,
            since=optional_time("--since", self.since),
            before=optional_time("--before", self.before),
            stream=optional_uuid("--stream", self.stream),
            principal=id_of(ledger.people, principal) if principal is not None else None,
            types=self.type,
            correlation=optional_uuid("--correlation", self.correlation),
        )


Contents = Annotated[bool, flag("Also what people wrote.")]


def add_events(app: App, open_ledger: OpenLedger) -> App:
    """The group, for others to add to."""
    group = App(name="events", help="The log: what happened, by whom, when.")
    app.command(group)

    @group.default
    def list_events(
        *,
        narrowing: Narrowing | None = None,
        limit: Annotated[int, count("At most so many; 0 is no limit.")] = 50,
        newest: Annotated[bool, flag("The newest first.")] = False,
        contents: Contents = False,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """List events, the oldest first."""
        with open_ledger(data_dir) as ledger:
            wanted = (narrowing or Narrowing()).wanted(ledger)
            found = _each(ledger, wanted, newest)
            views = _views(ledger, islice(found, limit or None), contents)
            _print(views, contents, json)
            if limit and next(found, None) is not None:
                say("There are more: --limit 0 shows all.")
        return 0

    @group.command(name="show")
    def show(
        position: Annotated[int, count("Where it stands in the log.")],
        /,
        *,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """Everything about one event, what people wrote included."""
        with open_ledger(data_dir) as ledger:
            _show(ledger, position, json)
        return 0

    @group.command(name="follow")
    def follow(
        *,
        narrowing: Narrowing | None = None,
        contents: Contents = False,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """Print events as they come, until Ctrl-C; with --after, first those beyond it."""
        with open_ledger(data_dir) as ledger:
            wanted = (narrowing or Narrowing()).wanted(ledger)
            for grown in _growth(ledger, wanted):
                views = _views(ledger, _each(ledger, grown), contents)
                for view in views:
                    _print_line(view, json)
        return 0

    return group


def _each(
    ledger: "Ledger", wanted: "EventFilter", newest_first: bool = False
) -> "Iterator[StoredEvent]":
    for batch in ledger.log.found(wanted, newest_first=newest_first):
        yield from batch


def _views(
    ledger: "Ledger", found: "Iterable[StoredEvent]", contents: bool
) -> "Iterator[EventView]":
    from application.ledger.event_view import view_of

    names = names_of(ledger.people)
    return (view_of(stored, ledger.log, names, contents=contents) for stored in found)


def _growth(ledger: "Ledger", wanted: "EventFilter") -> "Iterator[EventFilter]":
    """The filter over what is new, each time the log has grown; ends with `until`."""
    from msgspec.structs import replace

    seen = wanted.after or ledger.log.head()
    last = wanted.until
    while last is None or seen < last:
        head = ledger.log.head() if last is None else min(ledger.log.head(), last)
        if head > seen:
            yield replace(wanted, after=seen, until=head)
            seen = head
        else:
            sleep(FOLLOW_SECONDS)


def _print(views: "Iterator[EventView]", contents: bool, json: bool) -> None:
    if json:
        for view in views:
            print_json(view)
        return
    columns = (*COLUMNS, "contents") if contents else COLUMNS
    print_table(columns, [_cells(view, contents) for view in views])


def _print_line(view: "EventView", json: bool) -> None:
    """At once, also into a pipe."""
    if json:
        print_json(view)
    else:
        print(*(printable(cell) for cell in _cells(view, view.personal is not None)), sep="  ")
    import sys

    sys.stdout.flush()


def _cells(view: "EventView", contents: bool) -> list[object]:
    at = view.recorded_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    personal = "erased" if view.erased else view.personal_bytes
    cells: list[object] = [view.position, at, view.stream_id, view.version, view.topic]
    cells += [view.actor_name or "unreadable", view.payload_bytes]
    cells.append("" if personal is None else personal)
    if contents:
        written = view.personal or {}
        cells.append("\n".join(f"{n}: {v}" for n, v in written.items() if v is not None))
    return cells


def _show(ledger: "Ledger", position: int, json: bool) -> None:
    from application.ledger.event_view import whole
    from application.ledger.ports import EventFilter, NotInLog

    stored = next(_each(ledger, EventFilter(after=position - 1, until=position)), None)
    if stored is None:
        raise NotInLog(f"the log has no position {position}.")
    shown = whole(stored, ledger.log, names_of(ledger.people))
    if json:
        print_json(shown)
        return
    from msgspec import to_builtins

    view = to_builtins(shown.event)
    facts = {name: value for name, value in view.items() if name not in ("payload", "personal")}
    for part in ("payload", "personal"):
        facts |= {f"{part}.{name}": value for name, value in (view.get(part) or {}).items()}
    facts["meta"] = shown.meta
    for name, digest in (("payload", shown.payload_digest), ("personal", shown.personal_digest)):
        matches = {True: "matches", False: "DOES NOT MATCH", None: "nothing to match"}
        facts[f"{name}_digest"] = f"{digest.stored} ({matches[digest.matches]})"
    print_facts({name: printable(value) for name, value in facts.items() if value is not None})
