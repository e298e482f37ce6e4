"""How operator's commands answer: tables and progress for people, JSON for machines."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

KEPT = "\n\u200c\u200d"
"""Not printable by themselves: line ends, and the joiners of Persian and of emoji."""


class Advance(Protocol):
    def __call__(self, done: int, total: int | None = None) -> None:
        """`done` of `total` so far; a total that is not given stays as it was."""
        ...


def print_json(value: object) -> None:
    """One object on one line, in which nothing is a command to a terminal."""
    line = msgspec.json.encode(value).decode()
    if not line.isprintable():
        # Of what JSON lets through, such as C1 controls and turns of direction.
        line = "".join(c if _is_harmless(c) else json.dumps(c)[1:-1] for c in line)
    sys.stdout.write(line + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """For people. Numbers stand to the right; nothing is cut off, wide cells are folded."""
    from rich.console import Console
    from rich.table import Table

    cells = [["" if cell is None else cell for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numbers = cells and all(isinstance(row[index], int) for row in cells)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in cells:
        table.add_row(*(_plain(cell) for cell in row))
    # A pipe has no width: what stands on one line there should stay on it.
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, highlight=False, emoji=False).print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """A name and its value on each line."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        print(f"{name:<{width}}  {'' if value is None else value}")


def say(words: str) -> None:
    """What is no result: on stderr, so that a pipe does not get it."""
    print(printable(words), file=sys.stderr)


LINE_EVERY = 0.5
"""Seconds between two lines that tell a program how far a command is."""


@contextmanager
def progress(what: str, unit: str = "events", *, lines: bool = False) -> Iterator[Advance]:
    """A bar with rate and time left on a terminal's stderr; silence elsewhere.

    `lines` of JSON on stdout instead: `done` and `total`, at first and every now and then.
    """
    if lines:
        yield _telling()
        return
    if not sys.stderr.isatty():
        yield lambda done, total=None: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=None, rate="")

        def advance(done: int, total: int | None = None) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            changes: dict[str, Any] = {} if total is None else {"total": total}
            bar.update(task, completed=done, rate=rate, **changes)

        yield advance


def _telling() -> Advance:
    told_at, known = -LINE_EVERY, None

    def advance(done: int, total: int | None = None) -> None:
        nonlocal told_at, known
        known = known if total is None else total
        if (now := time.monotonic()) - told_at >= LINE_EVERY:
            told_at = now
            print_json({"done": done, "total": known})
            sys.stdout.flush()

    return advance


def printable(value: object) -> str:
    """Without control characters, which are commands to a terminal."""
    return "".join(c if _is_harmless(c) else "\ufffd" for c in str(value))


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in KEPT


def _plain(cell: object) -> Any:
    from rich.text import Text

    # As text, so that brackets in what people wrote are no markup.
    return Text(printable(cell))
