"""A sealed log in SQLite, and what its auditor holds of it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import connect

from application.ledger.archive import Export
from application.ledger.ports import StoredEvent
from infrastructure.audit.sealer import Witness
from infrastructure.audit.trail import SqlAuditTrail, open_trail
from infrastructure.database import sync_reader_engine
from infrastructure.event_store.codec import codec
from infrastructure.event_store.stored import StoredLog
from interfaces.cli.audit_verify import Auditor, check, notes_in
from tests.event_store.given import (
    SetClock,
    append_of,
    complete_and_settle,
    new_account,
    new_chat,
    opened,
    send_and_hold,
)

LOG = "events.db"


def unwatched(done: int, total: int | None) -> None:
    """Nobody watches the progress."""


class World:
    """A data folder, and beside it the auditor's folder of checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.checkpoints = folder / "checkpoints"
        self.data_dir.mkdir()

    @property
    def url(self) -> str:
        return f"sqlite:///{self.data_dir / LOG}"

    def converse(self, rounds: int) -> None:
        """Append a chat with this many questions and answers: 4 events, and 5 for each of them."""

        async def append() -> None:
            async with opened(self.url) as store:
                chat, account = new_chat(), new_account()
                for _ in range(rounds):
                    reply_id = send_and_hold(chat, account)
                    await store.append(append_of(chat, account))
                    complete_and_settle(chat, account, reply_id)
                    await store.append(append_of(chat, account))

        asyncio.run(append())

    @contextmanager
    def trail(
        self, target: str | None = "", witness: Witness | None = None
    ) -> Iterator[SqlAuditTrail]:
        """By default checkpoints go to the auditor's folder."""
        where = str(self.checkpoints) if target == "" else target
        with open_trail(self.data_dir, clock=SetClock(), target=where, witness=witness) as trail:
            yield trail

    def seal(self) -> None:
        with self.trail() as trail:
            assert trail.seal(unwatched)
            trail.deliver()

    def seal_quietly(self) -> None:
        """With nobody to hand it out to."""
        with self.trail(None) as trail:
            assert trail.seal(unwatched)

    def deliver(self) -> int:
        with self.trail() as trail:
            return trail.deliver()

    @property
    def key(self) -> str:
        with self.trail() as trail:
            return trail.verifier_key

    def change(self, statement: str, *values: object) -> None:
        """As somebody with the database's file in their hands does."""
        with closing(connect(self.data_dir / LOG)) as connection, connection:
            assert connection.execute(statement, values).rowcount > 0

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with closing(connect(self.data_dir / LOG)) as connection:
            return connection.execute(statement).fetchall()

    @contextmanager
    def log(self) -> Iterator[StoredLog]:
        engine = sync_reader_engine(self.url)
        try:
            yield StoredLog(engine, codec)
        finally:
            engine.dispose()

    def rows(self) -> list[StoredEvent]:
        with self.log() as log:
            return [each for batch in log.batches() for each in batch]

    def log_id(self) -> str:
        [(log_id,)] = self.query("SELECT value FROM log_meta WHERE key = 'log_id'")
        return str(log_id)

    def export(self) -> Path:
        path = self.data_dir.parent / "export.jsonl"
        with self.log() as log:
            path.write_bytes(b"".join(part for _, part in Export(log).parts()))
        return path

    def export_without_words(self) -> Path:
        path = self.export()
        head, *events = map(json.loads, path.read_text().splitlines())
        lines = [head | {"personal": False}, *(event | {"personal": None} for event in events)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def faults(self, export: Path | None = None, *keys: str) -> list[tuple[int | None, str]]:
        """What the auditor finds in an export of the log as it is now."""
        auditor = self.auditor(*keys)
        check(export or self.export(), auditor)
        return auditor.faults

    def auditor(self, *keys: str) -> Auditor:
        return Auditor(keys or [self.key], notes_in([str(self.checkpoints)]))

    def live_faults(self) -> list[tuple[int | None, str]]:
        """What the log's own tree tells."""
        with self.trail() as trail:
            return [(each.position, each.what) for each in trail.faults(unwatched)]
