"""The way to a Valkey server, which is an extra: imported only where an address is set."""

from typing import TYPE_CHECKING, Any

from application.errors import ConfigurationError

if TYPE_CHECKING:
    from valkey.asyncio import Valkey

CONNECTIONS = 16
"""Each carries thousands of calls a second, so more of them would only wait in the server."""


def valkey_at(url: str, **options: Any) -> "Valkey":
    """A client; nothing is connected yet. `url` may hold a password, which no error repeats.

    Raises ConfigurationError.
    """
    try:
        from valkey.asyncio import BlockingConnectionPool, Valkey
    except ImportError:
        raise ConfigurationError(
            "DABIR_VALKEY_URL needs the extra `valkey`: install dabir[valkey]."
        ) from None
    try:
        pool = BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, **options)
    except ValueError:
        raise ConfigurationError("DABIR_VALKEY_URL is no address of a Valkey server.") from None
    return Valkey.from_pool(pool)


def valkey_failures() -> tuple[type[Exception], ...]:
    """What is raised where the server is away, slow, full or not what it should be."""
    from valkey.exceptions import ValkeyError

    return (ValkeyError, OSError, TimeoutError)
