"""How operators write a principal: `user:SUB` or `anon:ID`."""

from typing import TYPE_CHECKING

from application.errors import InvalidRequest

if TYPE_CHECKING:
    from domain.usage import Kind

NAME_LENGTH = 255
_KINDS: "dict[str, Kind]" = {"user": "user", "anon": "anonymous"}
_PREFIXES = {kind: prefix for prefix, kind in _KINDS.items()}


def parsed_principal(written: str) -> "tuple[Kind, str]":
    """Raises InvalidRequest."""
    prefix, _, name = written.partition(":")
    if prefix not in _KINDS or not 1 <= len(name) <= NAME_LENGTH or not _is_text(name):
        raise InvalidRequest("A principal is written user:SUB or anon:ID.", "principal")
    return _KINDS[prefix], name


def _is_text(name: str) -> bool:
    """False for bytes of a command line that are no UTF-8: no database takes them as text."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def written_principal(kind: "Kind", name: str) -> str:
    return f"{_PREFIXES[kind]}:{name}"
