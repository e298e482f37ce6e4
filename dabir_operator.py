"""Composition root of the operator's commands: settings → what one command works with.

Each opener imports what it needs when it is called, so that a command starts at once.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interfaces.cli.archive import add_archive
from interfaces.cli.audit import add_audit
from interfaces.cli.backup import add_backup
from interfaces.cli.db import add_db
from interfaces.cli.erase import add_erase
from interfaces.cli.events import add_events
from interfaces.cli.keys import add_keys
from interfaces.cli.projections import add_projections
from interfaces.cli.replay import add_replay
from interfaces.cli.usage import add_usage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from cyclopts import App

    from application.accounts import Terms
    from application.audit import AuditTrail
    from application.backup import Backups
    from application.commands import TopUp
    from application.erasure import Erasure, ErasureDesk
    from application.ledger.ports import Ledger, LogImport
    from application.projections import Projections
    from application.turns import Outcome
    from application.usage_commands import ToppedUp
    from domain.usage import Kind
    from infrastructure.audit.trail import SharedLog
    from infrastructure.event_store.keyring import Keyring
    from infrastructure.event_store.migrations.log_tables import LogTables
    from infrastructure.settings import Settings


def operator_commands() -> "list[Callable[[App], None]]":
    return [
        add_log,
        partial(add_replay, open_ledger=open_ledger),
        partial(add_usage, open_ledger=open_ledger, top_up=top_up),
        partial(add_projections, open_projections=open_projections),
        partial(add_audit, open_trail=open_audit),
        partial(add_erase, open_desk=open_erasure_desk),
        partial(add_backup, open_backups=open_backups, open_restore=open_restore),
        partial(add_keys, open_keys=open_keys, open_sealing_keys=open_sealing_keys),
        partial(add_db, open_tables=open_tables),
    ]


def add_log(app: "App") -> None:
    add_archive(add_events(app, open_ledger), open_ledger, open_import)


@contextmanager
def open_ledger(data_dir: Path | None) -> "Iterator[Ledger]":
    from application.ledger.ports import Ledger
    from infrastructure.data_folder import log_url
    from infrastructure.database import sync_reader_engine
    from infrastructure.event_store.codec import codec_of
    from infrastructure.event_store.encryption import LockedForm, LockedNames, vault_of
    from infrastructure.event_store.people import StoredPeople
    from infrastructure.event_store.stored import StoredLog

    settings = settings_of_log(data_dir)
    with ExitStack() as closing:
        keyring = opened_keyring(settings, closing)
        vault = vault_of(keyring)
        sealing = keyring.seals
        form, names = (vault.form, vault.names) if sealing else (LockedForm(), LockedNames())
        reading = sync_reader_engine(log_url(settings))
        closing.callback(reading.dispose)
        yield Ledger(StoredLog(reading, codec_of(form)), StoredPeople(reading, names))


@contextmanager
def open_import(data_dir: Path | None) -> "Iterator[LogImport]":
    from infrastructure.data_folder import log_url, only_server_of
    from infrastructure.database import sync_writer_engine
    from infrastructure.event_store.codec import codec
    from infrastructure.event_store.encryption import vault_of
    from infrastructure.event_store.importing import SqlLogImport

    settings = settings_for(data_dir)
    with ExitStack() as closing:
        if settings.postgres_url is None:
            closing.enter_context(only_server_of(settings.data_dir))
        names = vault_of(opened_keyring(settings, closing)).names
        writing = sync_writer_engine(log_url(settings), patient=True)
        closing.callback(writing.dispose)
        yield SqlLogImport(writing, codec, names)


def top_up(data_dir: Path | None, kind: "Kind", name: str, command: "TopUp") -> "Outcome[ToppedUp]":
    import asyncio

    from application.accounts import Accounts
    from application.turns import Turns
    from application.usage_commands import UsageCommands
    from infrastructure.data_folder import log_url
    from infrastructure.event_store.encryption import vault_of
    from infrastructure.event_store.store import SqlEventStore
    from infrastructure.language_model.catalogue import Catalogue
    from infrastructure.settings import load_secret
    from infrastructure.system import SystemClock, TimeOrderedIds

    settings = settings_of_log(data_dir)
    secret = load_secret(settings.data_dir, settings.secret)
    clock, ids = SystemClock(), TimeOrderedIds()

    async def carry_out(closing: ExitStack) -> "Outcome[ToppedUp]":
        vault = vault_of(opened_keyring(settings, closing))
        store = await SqlEventStore.open(log_url(settings), clock=clock, vault=vault)
        try:
            await store.agree(settings.currency, secret)
            # Nothing is held here, so no model is needed.
            accounts = Accounts(store, Catalogue("", ()), terms_of(settings), secret)
            commands = UsageCommands(Turns(store, ids, secret), accounts, clock)
            principal = await store.principals.resolve(kind, name)
            return await commands.top_up(command, principal, ids.new(), None)
        finally:
            await store.close()

    with ExitStack() as closing:
        return asyncio.run(carry_out(closing))


@contextmanager
def open_projections(data_dir: Path | None) -> "Iterator[Projections]":
    """Raises ConfigurationError where contents are sealed and there is no master key."""
    from infrastructure.data_folder import log_url
    from infrastructure.database import sync_reader_engine, sync_writer_engine
    from infrastructure.event_store.codec import codec_of
    from infrastructure.event_store.encryption import vault_of
    from infrastructure.event_store.schema import pair_with_keyring, set_up
    from infrastructure.projections.desk import SqlProjections
    from infrastructure.projections.shelf import generations_of

    settings = settings_of_log(data_dir)
    with ExitStack() as closing:
        vault = vault_of(opened_keyring(settings, closing))
        url = log_url(settings)
        writing, reading = sync_writer_engine(url), sync_reader_engine(url)
        closing.callback(writing.dispose)
        closing.callback(reading.dispose)
        with writing.begin() as connection:
            set_up(connection)
            pair_with_keyring(connection, vault.keyring_id)
        shelf = generations_of(settings.data_dir, settings.postgres_url)
        yield SqlProjections(shelf, writing, reading, codec_of(vault.form))


@contextmanager
def open_audit(data_dir: Path | None) -> "Iterator[AuditTrail]":
    from infrastructure.audit.trail import open_trail
    from infrastructure.system import SystemClock

    settings = settings_of_log(data_dir)
    with ExitStack() as closing:
        keyring = opened_keyring(settings, closing)
        target = settings.audit_checkpoints
        yield closing.enter_context(
            open_trail(
                settings.data_dir,
                clock=SystemClock(),
                target=target,
                witness=keyring,
                shared=shared_log(settings),
            )
        )


@contextmanager
def open_erasure_desk(data_dir: Path | None) -> "Iterator[ErasureDesk]":
    from application.erasure import ErasureDesk
    from infrastructure.data_folder import log_url

    settings = settings_of_log(data_dir)
    with ExitStack() as closing:
        keyring = opened_keyring(settings, closing)
        erasing = _Erasing(settings, log_url(settings), keyring, closing)
        yield ErasureDesk(
            erasing.run,
            erasing.erasure,
            erasing.log,
            erasing.store.principals,
            closing.enter_context(open_projections(data_dir)),
        )


@contextmanager
def open_backups(data_dir: Path | None) -> "Iterator[Backups]":
    from infrastructure.backup import SqliteBackups

    settings = settings_of_log(data_dir)
    refuse_on_postgres(settings)
    yield SqliteBackups(settings.data_dir, lambda folder: (), lambda log_id: 0)


@contextmanager
def open_restore(data_dir: Path | None, keys_lost: bool) -> "Iterator[Backups]":
    """Raises BackupRefused where the list of who was erased is missing by mistake."""
    from application.backup import BackupRefused
    from infrastructure.backup import SqliteBackups
    from infrastructure.data_folder import LOG_FILE, only_server_of
    from infrastructure.event_store.keyring import FILE_NAME

    settings = settings_for(data_dir)
    refuse_on_postgres(settings)
    with ExitStack() as closing:
        closing.enter_context(only_server_of(settings.data_dir))
        if not keys_lost and not (settings.data_dir / FILE_NAME).exists():
            raise BackupRefused(
                f"{settings.data_dir} has no {FILE_NAME}, which knows who was erased since the "
                "backup and how much was sealed. Put it there; if it is lost, give --keys-lost."
            )
        keyring = opened_keyring(settings, closing)

        def erase_again(folder: Path) -> "Sequence[UUID]":
            with ExitStack() as closing_log:
                log = f"sqlite:///{folder.absolute() / LOG_FILE}"
                erasing = _Erasing(settings, log, keyring, closing_log)
                again: Sequence[UUID] = erasing.run(
                    erasing.erasure.repeat(keyring.erased_principals())
                )
                for principal in again:
                    erasing.run(erasing.erasure.finish(principal))
                return again

        yield SqliteBackups(settings.data_dir, erase_again, keyring.sealed)


@contextmanager
def open_keys(data_dir: Path | None) -> "Iterator[Keyring]":
    with ExitStack() as closing:
        yield opened_keyring(settings_of_log(data_dir), closing)


@contextmanager
def open_sealing_keys(data_dir: Path | None) -> "Iterator[Keyring]":
    """Raises ConfigurationError where there is no master key."""
    from application.errors import ConfigurationError

    with open_keys(data_dir) as keyring:
        if not keyring.seals:
            raise ConfigurationError("Set DABIR_MASTER_KEY or DABIR_MASTER_KEY_FILE.")
        yield keyring


@contextmanager
def open_tables(data_dir: Path | None) -> "Iterator[LogTables]":
    from infrastructure.data_folder import log_url
    from infrastructure.event_store.migrations.log_tables import LogTables

    yield LogTables(log_url(settings_of_log(data_dir)))


class _Erasing:
    """Erasing in one log, on an event loop of its own."""

    def __init__(
        self, settings: "Settings", url: str, keyring: "Keyring", closing: ExitStack
    ) -> None:
        import asyncio

        from infrastructure.database import sync_reader_engine, sync_writer_engine
        from infrastructure.event_store.encryption import vault_of
        from infrastructure.event_store.erasure import SqlErasure
        from infrastructure.event_store.store import SqlEventStore
        from infrastructure.system import SystemClock

        self._runner: asyncio.Runner = closing.enter_context(asyncio.Runner())
        writing, reading = sync_writer_engine(url, secure_delete=True), sync_reader_engine(url)
        closing.callback(writing.dispose)
        closing.callback(reading.dispose)
        self.store: SqlEventStore = self.run(
            SqlEventStore.open(url, clock=SystemClock(), vault=vault_of(keyring))
        )
        closing.callback(lambda: self.run(self.store.close()))
        self.log: SqlErasure = SqlErasure(writing, reading, keyring)
        self.erasure = self._erasure(settings.currency)

    def run(self, work: Any) -> Any:
        return self._runner.run(work)

    def _erasure(self, currency: str) -> "Erasure":
        from application.erasure import Erasure
        from infrastructure.language_model.tokens import TokenEstimate
        from infrastructure.system import SystemClock, TimeOrderedIds

        return Erasure(
            self.store, self.log, TokenEstimate(), SystemClock(), TimeOrderedIds(), currency
        )


def terms_of(settings: "Settings") -> "Terms":
    """What the operator grants."""
    from application.accounts import Terms
    from application.queries import nanos_of

    return Terms(
        currency=settings.currency,
        starting_balance=nanos_of(settings.starting_balance),
        anonymous_limit=settings.anon_message_limit,
        address_limit=settings.anon_address_limit,
        window=settings.anon_window,
    )


def settings_for(data_dir: Path | None) -> "Settings":
    from infrastructure.settings import Settings

    os.umask(0o077)  # what people wrote is nobody else's on this machine
    return Settings(data_dir=data_dir)


def settings_of_log(data_dir: Path | None) -> "Settings":
    """Raises ConfigurationError where the folder holds no log: nothing is made by looking."""
    from application.errors import ConfigurationError

    settings = settings_for(data_dir)
    if settings.postgres_url is None and not log_path(settings).exists():
        raise ConfigurationError(f"{settings.data_dir} holds no log.")
    return settings


def refuse_on_postgres(settings: "Settings") -> None:
    """Raises BackupRefused."""
    from application.backup import BackupRefused

    if settings.postgres_url is not None:
        raise BackupRefused(
            "The log is on PostgreSQL: back it up with pg_dump --exclude-schema='dabir_keys', and "
            "the keys apart. docs/deployment.md says how, and what to do after a restore."
        )


def shared_log(settings: "Settings") -> "SharedLog | None":
    """What a trail needs to know of a log on PostgreSQL; None on SQLite."""
    from infrastructure.audit.trail import SharedLog
    from infrastructure.settings import load_secret

    if settings.postgres_url is None:
        return None
    return SharedLog(settings.postgres_url, load_secret(settings.data_dir, settings.secret))


def log_path(settings: "Settings") -> Path:
    from infrastructure.data_folder import LOG_FILE

    return settings.data_dir.absolute() / LOG_FILE


def opened_keyring(settings: "Settings", closing: ExitStack) -> "Keyring":
    from infrastructure.event_store.keyring import keyring_of

    keyring = keyring_of(settings)
    closing.callback(keyring.close)
    return keyring
