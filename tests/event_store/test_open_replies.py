"""Replies under way: their rows, their drafts, and the leases that say who may write."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from application.errors import LeaseLost, VersionConflict
from application.ports import AddressUse, Append, Draft, Lease, OpenReplyRow, ReplyOpened
from domain.chat import Chat
from domain.usage import Usage
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import (
    META,
    NOW,
    SetClock,
    append_of,
    complete_and_settle,
    new_account,
    new_chat,
    run,
    send_and_hold,
)

TERM = timedelta(seconds=15)


async def open_reply(
    store: SqlEventStore, lease: Lease, address: AddressUse | None = None
) -> tuple[Chat, Usage, UUID]:
    chat, account = new_chat(), new_account()
    reply_id = send_and_hold(chat, account)
    await store.append(
        Append(
            aggregates=[chat, account],
            meta=META,
            lease=lease,
            opens=ReplyOpened(reply_id, chat.id, account.id),
            address_use=address,
        )
    )
    return chat, account, reply_id


def test_an_open_reply_is_an_orphan_when_its_lease_has_run_out(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        node = uuid4()
        lease = await store.leases.acquire(node, TERM)
        use = AddressUse(b"address", 5, NOW.timestamp() + 60)
        chat, account, reply_id = await open_reply(store, lease, use)
        assert await store.open_replies() == []
        clock.advance(seconds=15)
        assert await store.open_replies() == [
            OpenReplyRow(reply_id, chat.id, account.id, node, lease.epoch, b"", b"", b"address")
        ]

    run(url, scenario)


def test_an_open_reply_is_an_orphan_when_its_node_began_anew(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        node = uuid4()
        await open_reply(store, await store.leases.acquire(node, TERM))
        await store.leases.acquire(node, TERM)
        assert len(await store.open_replies()) == 1

    run(url, scenario)


def test_an_open_reply_is_an_orphan_when_its_lease_was_released(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        lease = await store.leases.acquire(uuid4(), TERM)
        await open_reply(store, lease)
        await store.leases.release(lease)
        assert len(await store.open_replies()) == 1

    run(url, scenario)


def test_the_append_that_ends_a_reply_closes_its_row(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        lease = await store.leases.acquire(uuid4(), TERM)
        chat, account, reply_id = await open_reply(store, lease)
        complete_and_settle(chat, account, reply_id)
        await store.append(
            Append(aggregates=[chat, account], meta=META, lease=lease, closes=reply_id)
        )
        clock.advance(days=1)
        assert await store.open_replies() == []

    run(url, scenario)


def test_a_reply_is_not_opened_where_the_append_is_refused(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        lease = await store.leases.acquire(uuid4(), TERM)
        taken = new_account()
        await store.append(append_of(taken))
        opens = ReplyOpened(uuid4(), uuid4(), uuid4())
        refused = Append(aggregates=[new_account(taken.id)], meta=META, lease=lease, opens=opens)
        with pytest.raises(VersionConflict):
            await store.append(refused)
        clock.advance(days=1)
        assert await store.open_replies() == []

    run(url, scenario)


def test_a_reply_is_opened_only_under_a_lease(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        opens = ReplyOpened(uuid4(), uuid4(), uuid4())
        with pytest.raises(ValueError, match="lease"):
            await store.append(Append(aggregates=[new_chat()], meta=META, opens=opens))

    run(url, scenario)


def test_an_append_under_a_lost_lease_writes_nothing(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        node = uuid4()
        former = await store.leases.acquire(node, TERM)
        present = await store.leases.acquire(node, TERM)
        for lost in (former, Lease(uuid4(), 1), Lease(node, present.epoch + 1)):
            with pytest.raises(LeaseLost):
                await store.append(Append(aggregates=[new_chat()], meta=META, lease=lost))
        clock.advance(seconds=15)
        with pytest.raises(LeaseLost):
            await store.append(Append(aggregates=[new_chat()], meta=META, lease=present))
        assert await store.head() == 0

    run(url, scenario)


def test_a_renewed_lease_goes_on(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        lease = await store.leases.acquire(uuid4(), TERM)
        clock.advance(seconds=10)
        await store.leases.renew(lease, TERM)
        clock.advance(seconds=10)
        assert await store.append(Append(aggregates=[new_chat()], meta=META, lease=lease)) == 1

    run(url, scenario)


def test_a_lease_that_has_run_out_is_not_revived(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        lease = await store.leases.acquire(uuid4(), TERM)
        clock.advance(seconds=15)
        with pytest.raises(LeaseLost):
            await store.leases.renew(lease, TERM)

    run(url, scenario)


def test_no_epoch_is_given_twice(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        node = uuid4()
        first = await store.leases.acquire(node, TERM)
        await store.leases.release(first)
        second = await store.leases.acquire(node, TERM)
        assert second.epoch > first.epoch
        with pytest.raises(LeaseLost):
            await store.leases.renew(first, TERM)

    run(url, scenario)


def test_a_checkpoint_keeps_all_drafts(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        lease = await store.leases.acquire(uuid4(), TERM)
        replies = [await open_reply(store, lease) for _ in range(3)]
        drafts = [Draft(each, chat.id, each.bytes, b"why") for chat, _, each in replies]
        assert await store.checkpoint(lease, drafts) == []
        clock.advance(days=1)
        kept = {row.reply_id: (row.text, row.reasoning) for row in await store.open_replies()}
        assert kept == {each: (each.bytes, b"why") for _, _, each in replies}

    run(url, scenario)


def test_a_checkpoint_under_a_lost_lease_keeps_nothing(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        lease = await store.leases.acquire(uuid4(), TERM)
        chat, _, reply_id = await open_reply(store, lease)
        clock.advance(days=1)
        with pytest.raises(LeaseLost):
            await store.checkpoint(lease, [Draft(reply_id, chat.id, b"late", b"")])
        assert [row.text for row in await store.open_replies()] == [b""]

    run(url, scenario)


def test_a_checkpoint_leaves_another_nodes_reply_alone(url: str) -> None:
    async def scenario(store: SqlEventStore, clock: SetClock) -> None:
        chat, _, theirs = await open_reply(store, await store.leases.acquire(uuid4(), TERM))
        mine = await store.leases.acquire(uuid4(), TERM)
        await store.checkpoint(mine, [Draft(theirs, chat.id, b"not mine", b"")])
        await store.checkpoint(mine, [])
        clock.advance(days=1)
        assert [row.text for row in await store.open_replies()] == [b""]

    run(url, scenario)


def test_a_checkpoint_names_the_replies_that_others_have_ended(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        lease = await store.leases.acquire(uuid4(), TERM)
        (chat, account, ended), (other, _, going_on) = [
            await open_reply(store, lease) for _ in range(2)
        ]
        complete_and_settle(chat, account, ended)
        await store.append(Append(aggregates=[chat, account], meta=META, closes=ended))
        drafts = [
            Draft(ended, chat.id, b"more", b""),
            Draft(going_on, other.id, b"more", b""),
        ]
        assert await store.checkpoint(lease, drafts) == [ended]

    run(url, scenario)
