"""Which fields of an event hold what a person wrote or is called."""

from typing import Annotated, TypeVar

T = TypeVar("T")

PERSONAL = "personal"

Personal = Annotated[T, PERSONAL]
"""Marks an event's field as personal: `content: Personal[str]`.

The log stores such fields apart from the rest, so that they can be encrypted and erased
while the structure and the amounts stay provable.
"""
