"""What all who write to a log must agree on, kept in the log itself."""

import hmac

from sqlalchemy import Connection, insert, select, update

from application.errors import ConfigurationError
from infrastructure.event_store.lease_time import LeaseTime
from infrastructure.event_store.schema import leases, log_meta

CURRENCY, SECRET = "currency", "secret"


def agree(connection: Connection, currency: str, secret: bytes, time: LeaseTime) -> None:
    """See that this process keeps accounts in the log's currency, and has the secret of its nodes.

    The first process settles both. The secret may be changed while no node serves. Raises
    ConfigurationError.
    """
    if _stored(connection, CURRENCY, currency) != currency:
        raise ConfigurationError(
            f"the accounts of this log are in {_stored(connection, CURRENCY, currency)}: set "
            "DABIR_CURRENCY to it."
        )
    mine = hmac.digest(secret, b"dabir secret id", "sha256")[:8].hex()
    if _stored(connection, SECRET, mine) == mine:
        return
    if connection.scalar(select(leases.c.node).where(leases.c.expires_at > time.now()).limit(1)):
        raise ConfigurationError(
            "a node is serving this log with another DABIR_SECRET: all must have the same."
        )
    connection.execute(update(log_meta).where(log_meta.c.key == SECRET).values(value=mine))


def _stored(connection: Connection, key: str, otherwise: str) -> str:
    """The value, which is from now on `otherwise` where there was none."""
    stored = connection.scalar(select(log_meta.c.value).where(log_meta.c.key == key))
    if stored is None:
        connection.execute(insert(log_meta).values(key=key, value=otherwise))
    return stored or otherwise
