"""What comes in from clients: decoded strictly into command Structs, or refused with the place."""

import re
from typing import TypeVar

import msgspec

from application.errors import InvalidRequest

T = TypeVar("T")

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]+)`)?$", re.DOTALL)


def decode_json(body: bytes, into: type[T]) -> T:
    """A JSON body as the Struct `into`. Raises InvalidRequest with the path of the field."""
    try:
        return msgspec.json.decode(body or b"{}", type=into)
    except msgspec.ValidationError as error:
        raise _refused(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest("The body is not valid JSON in UTF-8.", "$") from None


def convert(payload: object, into: type[T]) -> T:
    """Plain values as the Struct `into`; null is as good as absent.

    Raises InvalidRequest with the path of the field.
    """
    if isinstance(payload, dict):
        payload = {name: value for name, value in payload.items() if value is not None}
    try:
        return msgspec.convert(payload, type=into)
    except msgspec.ValidationError as error:
        raise _refused(error) from None


def _refused(error: msgspec.ValidationError) -> InvalidRequest:
    match = _PLACE.match(str(error))
    assert match is not None
    return InvalidRequest(f"{match['what']}.", match["path"] or "$")
