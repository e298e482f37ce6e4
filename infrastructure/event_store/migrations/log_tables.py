"""The tables of a log's database as an operator sees them. Behind `dabir db`."""

from sqlalchemy import Engine, make_url

from infrastructure import postgres
from infrastructure.database import (
    BUSY_TIMEOUT_SECONDS,
    is_postgres,
    sync_reader_engine,
    sync_writer_engine,
)
from infrastructure.event_store.migrations.at_start import (
    NEWEST,
    checked_version,
    stored_version,
)


class LogTables:
    """Their version, and bringing them to the newest."""

    newest = NEWEST

    def __init__(self, url: str) -> None:
        self._url = url

    def stored(self) -> str | None:
        """The version as it is; None where there is no log yet, or one from before versions."""
        engine = sync_reader_engine(self._url)
        try:
            with engine.begin() as connection:
                return stored_version(connection)
        finally:
            engine.dispose()

    def upgrade(self) -> str | None:
        """Migrate, while appends wait. Returns the version as it was.

        Raises ConfigurationError where a later release has been here, or something else than Dabir.
        """
        # Not within the transaction: PostgreSQL would see a writer that does nothing.
        from infrastructure.event_store.migrations.upgrading import upgrade

        engine = _patient_writer(self._url)
        try:
            with engine.begin() as connection:
                stored = checked_version(connection)
                if stored != NEWEST:
                    upgrade(connection)
                return stored
        finally:
            engine.dispose()


def _patient_writer(url: str) -> Engine:
    """For a migration that goes through a long log."""
    if is_postgres(url):
        return postgres.writer_engine(
            make_url(url), lock="log", lock_timeout=BUSY_TIMEOUT_SECONDS, patient=True
        )
    return sync_writer_engine(url)
