"""What a benchmark found: shown, and on `--keep` kept for docs/performance.md.

A benchmark ends with `report(Result(...))`. Kept results are benchmarks/results/NAME.json, which
benchmarks/report.py draws and writes into the document.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Literal, TypeAlias

import msgspec
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent / "results"
KEEP = "--keep"

Value: TypeAlias = str | int | float | None
Row: TypeAlias = dict[str, Value]
"""A line of the table: its columns' headings, units included, and their values.

None stands for what does not apply to this line.
"""


class Chart(msgspec.Struct, frozen=True):
    """Drawn over the rows: `across` and `up` are columns, and `by` tells the series apart."""

    kind: Literal["bars", "lines"]
    across: str
    up: str
    by: str | None = None
    log_across: bool = False
    log_up: bool = False
    limit: float | None = None
    """The target, drawn as a line."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is that of the benchmark's module; one with several results adds `-part`."""

    name: str
    title: str
    how: str
    """In a sentence: what ran, how often, and what the figures are medians of."""
    rows: list[Row]
    chart: Chart | None = None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    result: Result
    command: str
    date: str
    machine: str


def report(result: Result) -> None:
    """Print it; with `--keep` among the program's arguments, keep it, too."""
    table = Table(*columns_of(result), title=result.title, caption=result.how)
    for row in result.rows:
        table.add_row(*(shown(row.get(column)) for column in columns_of(result)))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if KEEP in sys.argv:
        FOLDER.mkdir(exist_ok=True)
        kept = Kept(result=result, command=_command(), date=_today(), machine=_machine())
        text = msgspec.json.format(msgspec.json.encode(kept), indent=2)
        (FOLDER / f"{result.name}.json").write_bytes(text + b"\n")


def kept_results() -> dict[str, Kept]:
    """By name."""
    decode = msgspec.json.Decoder(Kept).decode
    every = (decode(path.read_bytes()) for path in sorted(FOLDER.glob("*.json")))
    return {kept.result.name: kept for kept in every}


def columns_of(result: Result) -> list[str]:
    return list(dict.fromkeys(column for row in result.rows for column in row))


def shown(value: Value) -> str:
    """With as many digits as mean something: three."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def in_turn(
    rounds: int, contestants: dict[str, Callable[[], float]]
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Run each contestant once a round, in turn. Returns their medians, and all that was measured.

    What slows the machine for a while slows all of them.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            taken[name].append(measure())
    return {name: median(values) for name, values in taken.items()}, taken


def median_ratio(ours: Sequence[float], reference: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return median(own / other for own, other in zip(ours, reference, strict=True))


def _command() -> str:
    name = Path(sys.argv[0]).stem
    return " ".join(["just bench", name, *(word for word in sys.argv[1:] if word != KEEP)])


def _today() -> str:
    return time.strftime("%Y-%m-%d")


def _machine() -> str:
    """The loop says how fast it was at that moment: it shares its cores."""
    began = time.process_time()
    for _ in range(10_000_000):
        pass
    loop = time.process_time() - began
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"ten million empty turns in {loop:.2f} s"
    )
