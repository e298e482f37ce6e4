"""The chats of a principal, as its lists show them."""

from uuid import UUID

from application.console.answers import ChatLine, ChatsOf
from application.console.requests import ListChatsOf
from application.queries import ChatView, ListChats, Views


async def chats_of(views: Views, written: str, principal: UUID, request: ListChatsOf) -> ChatsOf:
    """`written` is what the operator calls the principal. Raises ViewsBehind, InvalidRequest."""
    page = await views.list_chats(
        principal,
        ListChats(limit=request.limit, cursor=request.cursor, archived=request.archived),
    )
    return ChatsOf(
        principal=written,
        chats=[_line(chat) for chat in page.chats],
        total=page.total,
        next_cursor=page.next_cursor,
    )


def _line(chat: ChatView) -> ChatLine:
    return ChatLine(
        id=chat.id,
        title=chat.title,
        archived=chat.archived,
        created_at=chat.created_at,
        updated_at=chat.updated_at,
        message_count=chat.message_count,
    )
