"""The documentation as tests read it: sections, table rows, code blocks, and the names in them."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()
OPERATIONS = (DOCS / "operations.md").read_text()

_CODE = re.compile(r"`([^`\n]+)`")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) +(.*)$")


def prose(page: str) -> str:
    """The page without its code blocks."""
    return _BLOCK.sub("", page)


def headings(page: str) -> Iterator[tuple[int, str]]:
    """Each heading's level and words."""
    for line in prose(page).splitlines():
        if match := _HEADING.match(line):
            yield len(match[1]), match[2]


def section(page: str, heading: str) -> str:
    """What stands below a heading, up to the next one that is not deeper; without code blocks."""
    found: list[str] | None = None
    level = 0
    for line in prose(page).splitlines():
        match = _HEADING.match(line)
        if match and found is not None and len(match[1]) <= level:
            break
        if found is not None:
            found.append(line)
        elif match and match[2] == heading:
            found, level = [], len(match[1])
    assert found is not None, f"no heading {heading!r}"
    return "\n".join(found)


def tables(text: str) -> list[list[list[str]]]:
    """Each table's rows, each as its cells."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        inside = line.startswith("|")
    return found


def rows(text: str, *, table: int | None = None) -> dict[str, list[str]]:
    """The cells of all tables' rows, or of one table's, by each name in a first cell's code."""
    found = tables(text)
    return {
        name: cells
        for each in (found if table is None else found[table : table + 1])
        for cells in each
        for name in _CODE.findall(cells[0])
    }


def names(text: str) -> set[str]:
    """Every name that stands in code, inside longer code too."""
    return {name for code in _CODE.findall(text) for name in _NAME.findall(code)}


def blocks(page: str, language: str) -> list[str]:
    """The code blocks in a language."""
    return [code for found, code in _BLOCK.findall(page) if found == language]
