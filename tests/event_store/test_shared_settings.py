"""What all processes on a log must agree on."""

from datetime import timedelta
from uuid import uuid4

import pytest

from application.errors import ConfigurationError
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import SetClock, opened, run

ONE, OTHER = b"the secret of all nodes, 32 bytes", b"some other secret, also 32 bytes."


def test_accounts_stay_in_one_currency(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        await store.agree("EUR", ONE)
        async with opened(url, clock) as again:
            await again.agree("EUR", ONE)
            with pytest.raises(ConfigurationError, match="are in EUR"):
                await again.agree("USD", ONE)

    run(url, scenario)


def test_nodes_have_one_secret_which_changes_only_while_none_serves(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        await store.agree("USD", ONE)
        await store.leases.acquire(uuid4(), timedelta(seconds=10))
        async with opened(url, clock) as other:
            with pytest.raises(ConfigurationError, match="another DABIR_SECRET"):
                await other.agree("USD", OTHER)
            await other.agree("USD", ONE)
            clock.advance(seconds=11)
            await other.agree("USD", OTHER)
        clock.advance(seconds=-11)
        with pytest.raises(ConfigurationError, match="another DABIR_SECRET"):
            await store.agree("USD", ONE)

    run(url, scenario)
