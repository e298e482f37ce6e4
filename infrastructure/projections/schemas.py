"""The schemas that generations on PostgreSQL are: making them, and what there is."""

from collections.abc import Sequence

from sqlalchemy import Connection, Index, text
from sqlalchemy.schema import CreateIndex, CreateTable

from infrastructure.projections import checkpoint, search_tsvector
from infrastructure.projections.columns import metadata

PREFIX = "dabir_views_"

NEEDED = ("messages_by_id", "messages_tree", "replies_of_chat")
"""Indexes that the views' own code reads by; all others only slow a filling down."""

_schemas = text(
    "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :prefix) ORDER BY nspname"
)
_size = text(
    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relkind = 'r'"
)
_has_index = text("SELECT 1 FROM pg_indexes WHERE schemaname = :schema AND indexname = :index")


def name_of(generation: str) -> str:
    return f"{PREFIX}{int(generation)}"


def generations(connection: Connection) -> list[str]:
    """The names of all there are."""
    found = [schema.removeprefix(PREFIX) for schema in with_prefix(connection, PREFIX)]
    return [name for name in found if name.isdecimal()]


def with_prefix(connection: Connection, prefix: str) -> Sequence[str]:
    return connection.scalars(_schemas, {"prefix": prefix}).all()


def size_of(connection: Connection, schema: str) -> int:
    """In bytes on the disk, indexes and long texts too."""
    return int(connection.scalars(_size, {"schema": schema}).one())


def create(connection: Connection, schema: str, log_id: str) -> None:
    """An empty, whole set, in the connection's transaction."""
    create_tables(connection, schema, log_id)
    create_indexes(connection, schema)
    connection.execute(text("RESET search_path"))


def create_tables(connection: Connection, schema: str, log_id: str) -> None:
    """What is missing of them, with the indexes that a filling needs."""
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    connection.execute(text(f"SET LOCAL search_path = {schema}"))
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            if index.name in NEEDED:
                connection.execute(CreateIndex(index, if_not_exists=True))
    search_tsvector.create_table(connection)
    checkpoint.begin(connection, log_id, 2**62)


def create_indexes(connection: Connection, schema: str) -> None:
    """What is missing of them; the search's is the last."""
    connection.execute(text(f"SET LOCAL search_path = {schema}"))
    for index in (*_others(), search_tsvector.by_lexeme):
        connection.execute(CreateIndex(index, if_not_exists=True))


def is_indexed(connection: Connection, schema: str) -> bool:
    last = {"schema": schema, "index": search_tsvector.by_lexeme.name}
    return connection.scalar(_has_index, last) is not None


def _others() -> list[Index]:
    indexes = {index for table in metadata.sorted_tables for index in table.indexes}
    return sorted((i for i in indexes if i.name not in NEEDED), key=lambda each: str(each.name))
