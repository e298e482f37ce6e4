"""How one setting's text becomes its value. Each raises ValueError; none repeats the text."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr

SHORTEST_SECRET = 32
"""Bytes. What an HMAC-SHA-256 needs not to be the weak part."""

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 366 * 86400.0
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")


def parse_duration(value: object) -> float:
    """Seconds of `500ms`, `15s`, `10m`, `24h` or `7d`. A bare number has no unit: refused."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not a duration")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > _LONGEST:
        raise ValueError("longer than a year")
    return seconds


def _whole_number(value: object) -> object:
    if isinstance(value, bool | float):
        raise ValueError("not a whole number")  # noqa: TRY004 - pydantic lets a TypeError pass
    return value


def _plain_decimal(value: object) -> str:
    # A float from the TOML file has lost what was written already.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text.strip()):
        raise ValueError("not a plain decimal")
    return text.strip()


def _filled(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("empty")
    return value


def _path(value: object) -> object:
    filled = _filled(value)
    return Path(filled).expanduser() if isinstance(filled, str) else filled


def _parts(value: object) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return [part.strip() for part in value]
    raise ValueError("not a list")


def _origins(value: object) -> tuple[str, ...]:
    origins = tuple(part.lower() for part in _parts(value))
    if origins == ("*",):
        return origins
    for origin in origins:
        # urlsplit's port raises ValueError when it is not one.
        if not _ORIGIN.fullmatch(origin) or urlsplit(origin).port == 0:
            raise ValueError("not an origin")
    return origins


def _networks(value: object) -> tuple[IPv4Network | IPv6Network, ...]:
    if isinstance(value, tuple) and all(isinstance(p, IPv4Network | IPv6Network) for p in value):
        return value
    return tuple(ip_network(part) for part in _parts(value))


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value().encode()) < SHORTEST_SECRET:
        raise ValueError("too short")
    return value


def _place(value: object) -> object:
    if isinstance(value, str) and is_url(value):
        parts = urlsplit(value)
        if not parts.hostname or parts.username is not None or parts.port == 0:
            raise ValueError("not an address")
    return _filled(value)


def _http_address(value: object) -> object:
    if isinstance(value, str) and not is_url(value):
        raise ValueError("not an address")
    return _place(value)


def is_url(place: str) -> bool:
    """Whether it is reached by HTTP; else it is on this machine."""
    return place.lower().startswith(("http://", "https://"))


def _secret(value: Any) -> Any:
    return _long_enough(SecretStr(value)) if isinstance(value, str) else value


def _secrets(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value.split():
        raise ValueError("empty")
    for secret in value.split():
        _long_enough(SecretStr(secret))
    return SecretStr(value)


def _database_url(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    scheme, _, place = value.strip().partition("://")
    # A port that is no number raises, too.
    if scheme not in ("postgresql", "postgres") or not place or urlsplit(value).port == 0:
        raise ValueError("not an address of PostgreSQL")
    return SecretStr(f"postgresql://{place}")


def _valkey_url(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = urlsplit(value.strip())
    if parts.scheme not in ("valkey", "valkeys", "redis", "rediss") or not parts.hostname:
        raise ValueError("not an address of Valkey")
    return SecretStr(value.strip())


Seconds = Annotated[float, BeforeValidator(parse_duration)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
PlainDecimal = Annotated[str, BeforeValidator(_plain_decimal)]
Text = Annotated[str, BeforeValidator(_filled)]
Location = Annotated[Path, BeforeValidator(_path)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_origins)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)]
Secrets = Annotated[SecretStr, BeforeValidator(_secrets)]
Secret = Annotated[SecretStr, BeforeValidator(_secret)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
HttpAddress = Annotated[str, BeforeValidator(_http_address)]
Jwks = Annotated[str, BeforeValidator(_place)]
CheckpointTarget = Annotated[str, BeforeValidator(_place)]
DatabaseUrl = Annotated[SecretStr, BeforeValidator(_database_url)]
ValkeyUrl = Annotated[SecretStr, BeforeValidator(_valkey_url)]
LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]
