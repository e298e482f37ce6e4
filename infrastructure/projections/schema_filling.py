"""Filling a schema from the log, by the code of the live views in large batches.

Each batch is committed with its position, so that a filling goes on wherever it was broken off.
"""

from collections.abc import Callable

from sqlalchemy import Engine

from infrastructure.event_store.codec import Codec
from infrastructure.event_store.stored import StoredLog
from infrastructure.projections import schemas
from infrastructure.projections.catching_up import catch_up
from infrastructure.projections.projector import Projector


def fill_schema(
    writing: Engine,
    schema: str,
    reading: Engine,
    codec: Codec,
    until: int,
    reached: Callable[[int], None],
) -> None:
    """`writing` is of the schema, which need not be there; `reading` of the log's database.

    Raises EventNotApplied, and checkpoint.OtherLog where the schema has events of another log.
    """
    log = StoredLog(reading, codec)
    with writing.begin() as connection:
        schemas.create_tables(connection, schema, log.log_id)
    catch_up(Projector(writing, strict=True), log, until, reached)
    with writing.begin() as connection:
        schemas.create_indexes(connection, schema)
