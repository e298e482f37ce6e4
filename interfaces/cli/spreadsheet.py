"""CSV that opens in a spreadsheet and does nothing there."""

import csv
import re
import sys
from collections.abc import Iterable, Sequence

FORMULA = re.compile(r"[=+\-@\t\r\n]")
"""What a spreadsheet takes for the beginning of a formula, or skips before one."""
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """None is an empty cell; what people are called is made harmless."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([harmless(cell) for cell in row] for row in rows)


def harmless(cell: object) -> str:
    """An apostrophe before what would be a formula, as spreadsheets write text."""
    written = "" if cell is None else str(cell)
    if FORMULA.match(written) and not NUMBER.fullmatch(written):
        return f"'{written}"
    return written
