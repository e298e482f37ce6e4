"""Replies under way, and what they have said so far: for whoever must end one."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, update

from application.errors import PrincipalErased
from application.ports import Clock, Draft, Lease, OpenReplyRow
from infrastructure.event_store.beside import Beside
from infrastructure.event_store.encryption import Vault
from infrastructure.event_store.lease_time import LeaseTime
from infrastructure.event_store.leases import require_lease
from infrastructure.event_store.schema import leases, micros, open_replies

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SILENT = timedelta(seconds=60)
"""Well beyond the time within which a command that begins a reply is answered."""

TEXT, REASONING = "draft.text", "draft.reasoning"
"""Stand for the topic of what is no event."""

_mine = (
    (open_replies.c.reply_id == bindparam("of"))
    & (open_replies.c.node == bindparam("by"))
    & (open_replies.c.epoch == bindparam("in_epoch"))
)
_keep = (
    update(open_replies)
    .where(_mine)
    .values(
        text=bindparam("said"), reasoning=bindparam("thought"), updated_at=bindparam("written_at")
    )
)


class OpenReplies:
    def __init__(
        self,
        readers: "AsyncEngine",
        beside: Beside,
        clock: Clock,
        time: LeaseTime,
        vault: Vault,
    ) -> None:
        self._readers = readers
        self._beside = beside
        self._clock = clock
        self._time = time
        self._form = vault.form
        self._fetch = vault.fetch

    async def checkpoint(self, lease: Lease, drafts: Sequence[Draft]) -> list[UUID]:
        """Keep what replies have said, all in one write.

        Returns those that are under way no more: somebody else has ended them. Raises LeaseLost.
        """
        sealed = {draft.reply_id: row for draft in drafts if (row := self._sealed(draft))}
        wanted = {draft.reply_id for draft in drafts}

        def keep(connection: Connection) -> list[UUID]:
            now = self._clock.now()
            require_lease(connection, lease, self._time)
            ids = open_replies.c.reply_id
            # One that somebody is ending this moment is not waited for.
            free = select(ids).where(ids.in_(wanted)).with_for_update(skip_locked=True)
            there = set(connection.scalars(free))
            fence = {"by": lease.node, "in_epoch": lease.epoch, "written_at": micros(now)}
            rows = [row | fence for reply_id, row in sealed.items() if reply_id in there]
            if rows:
                connection.execute(_keep, rows)
            left = wanted - there
            ended = left - set(connection.scalars(select(ids).where(ids.in_(left)))) if left else ()
            return list(ended)

        return await self._beside.run(keep)

    async def orphans(self, node: UUID | None) -> list[OpenReplyRow]:
        """Replies whose node holds no valid lease any more, and those of `node` that are silent."""
        valid = (
            (leases.c.node == open_replies.c.node)
            & (leases.c.epoch == open_replies.c.epoch)
            & (leases.c.expires_at > self._time.now())
        )
        silent = open_replies.c.updated_at < micros(self._clock.now() - SILENT)
        columns = [open_replies.c[field] for field in OpenReplyRow.__struct_fields__]
        query = (
            select(*columns)
            .outerjoin(leases, valid)
            .where(leases.c.node.is_(None) | (silent & (open_replies.c.node == node)))
        )
        async with self._readers.connect() as connection:
            rows = (await connection.execute(query)).all()
        await self._fetch({row.chat_id for row in rows})
        return [self._opened(OpenReplyRow(*row)) for row in rows]

    async def find(self, reply_id: UUID) -> OpenReplyRow | None:
        """A reply under way, whoever makes it; its text is that of the last checkpoint."""
        columns = [open_replies.c[field] for field in OpenReplyRow.__struct_fields__]
        query = select(*columns).where(open_replies.c.reply_id == reply_id)
        async with self._readers.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        await self._fetch({row.chat_id})
        return self._opened(OpenReplyRow(*row))

    def _sealed(self, draft: Draft) -> dict[str, object] | None:
        """None where the chat was erased meanwhile."""
        seal, chat_id = self._form.seal, draft.chat_id
        try:
            return {
                "of": draft.reply_id,
                "said": seal(draft.text, chat_id, 0, TEXT),
                "thought": seal(draft.reasoning, chat_id, 0, REASONING),
            }
        except PrincipalErased:
            return None

    def _opened(self, row: OpenReplyRow) -> OpenReplyRow:
        row.text = self._said(row.text, row.chat_id, TEXT)
        row.reasoning = self._said(row.reasoning, row.chat_id, REASONING)
        return row

    def _said(self, stored: bytes, chat_id: UUID, kind: str) -> bytes:
        return (self._form.open(stored, chat_id, 0, kind) or b"") if stored else b""
