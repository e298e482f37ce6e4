"""Searching a principal's messages, newest first."""

from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, select

from application.queries import SearchHit, SearchMessages, SearchPage
from infrastructure.projections import search
from infrastructure.projections.chat_list import chat_columns, chat_of, chats
from infrastructure.projections.checkpoint import position_now
from infrastructure.projections.cursors import SearchCursor, decode_cursor, encode_cursor
from infrastructure.projections.message_queries import message_columns, message_views
from infrastructure.projections.message_tables import branches, messages
from infrastructure.projections.search_words import snippet_of, words_of
from infrastructure.projections.texts import texts

BEYOND_ALL = 2**63 - 1


@cache
def _hits_on(engine: str) -> Select[Any]:
    found = search.index_on(engine).found
    return (
        select(*chat_columns, messages.c.number, *message_columns)
        .select_from(
            found.join(messages, messages.c.number == found.c.number)
            .join(texts, texts.c.number == messages.c.number)
            .join(chats, chats.c.id == messages.c.chat_id)
            .join(branches, branches.c.chat_id == messages.c.chat_id)
        )
        # The index knows the owner too; whose the chat is decides.
        .where(chats.c.owner == bindparam("owner"))
        .order_by(messages.c.number.desc())
    )


def search_messages(connection: Connection, principal: UUID, request: SearchMessages) -> SearchPage:
    """Messages that have all words, the last as a prefix. Raises InvalidRequest (`cursor`).

    A query without any word finds nothing.
    """
    before = BEYOND_ALL
    if request.cursor is not None:
        before = decode_cursor(request.cursor, SearchCursor).before
    position = connection.scalars(position_now).one()
    words = words_of(request.query)
    if not words:
        return SearchPage([], False, None, position)
    engine = connection.dialect.name
    bounds = search.index_on(engine).bounds(principal, words, before, request.limit + 1)
    rows = connection.execute(_hits_on(engine), {**bounds, "owner": principal}).all()
    shown, has_more = rows[: request.limit], len(rows) > request.limit
    results = [
        SearchHit(chat_of(row[: len(chat_columns)]), view, snippet_of(row.content, words))
        for row, view in zip(shown, message_views(connection, shown), strict=True)
    ]
    next_cursor = encode_cursor(SearchCursor(shown[-1].number)) if has_more else None
    return SearchPage(results, has_more, next_cursor, position)
