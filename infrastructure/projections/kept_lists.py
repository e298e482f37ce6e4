"""Lists of chats that were just read, for who asks again: in another tab, or after a reconnect."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

import msgspec

from application.ports import Recorded
from application.queries import ChatsPage, ListChats
from domain.chat import Chat
from infrastructure.event_store.store import SqlEventStore
from infrastructure.projections.generation import Generation, Succession
from infrastructure.projections.progress import Progress

MOST_CHATS = 5_000
"""In all lists together: some 4 MB, or 10 where all have long titles."""

Key: TypeAlias = tuple[UUID, ListChats]


class _Kept(msgspec.Struct, frozen=True):
    page: ChatsPage
    generation: Generation
    """One that was live when the page was asked for, or before."""


class KeptLists:
    """Where this process alone serves the log. Belongs to one event loop.

    A page is what the views would answer now if none of the events they have come by since can show
    in it. An event comes to them from this process's own append, which has noted its principals by
    then, or is read back from the database, whoever appended it; anything else that moves the views
    is no batch that was applied here.
    """

    def __init__(self, store: SqlEventStore, succession: Succession, progress: Progress) -> None:
        self._store = store
        self._succession = succession
        self._progress = progress
        self._applied = progress.position
        self._pages: OrderedDict[Key, _Kept] = OrderedDict()
        self.weight = 0
        """In chats; a page is one more."""

    def find(self, key: Key) -> ChatsPage | None:
        """The page as of the position that the views are at now, without asking them."""
        kept = self._pages.get(key)
        if kept is None or not self._holds(key, kept):
            return None
        self._pages.move_to_end(key)
        position = max(kept.page.position, self._progress.position)
        return msgspec.structs.replace(kept.page, position=position)

    def keep(self, key: Key, page: ChatsPage, generation: Generation) -> None:
        """Unless it has become old already. `generation` was live before the page was read."""
        self._drop(key)
        kept = _Kept(page, generation)
        if not self._holds(key, kept):
            return
        self._pages[key] = kept
        self.weight += _weight(page)
        while self.weight > MOST_CHATS:
            self._drop(next(iter(self._pages)))

    def heed(self, batch: Sequence[Recorded], _began: float) -> None:
        """Told by the runner of each batch, in the very step in which the views reach it."""
        erased = any(isinstance(each.event, Chat.Erased) for each in batch)
        if erased or batch[0].position != self._applied + 1:
            self._pages.clear()
            self.weight = 0
        self._applied = batch[-1].position

    def _holds(self, key: Key, kept: _Kept) -> bool:
        principal, _ = key
        changed = max(self._store.last_append_of(principal), self._store.last_read_back)
        return (
            kept.page.position >= changed
            and kept.generation is self._succession.live
            and self._applied == self._progress.position
        )

    def _drop(self, key: Key) -> None:
        kept = self._pages.pop(key, None)
        if kept is not None:
            self.weight -= _weight(kept.page)


def _weight(page: ChatsPage) -> int:
    return 1 + len(page.chats)
