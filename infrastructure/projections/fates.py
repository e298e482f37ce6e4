"""What becomes of each chat up to the position that a set of views is filled to.

Known beforehand, it spares most of what deletions and claims cost: words of a chat that goes are
never indexed, and all others at once under whom they end with. Taking words out of the index again
takes several times as long as putting them in.
"""

from typing import Any

import msgspec

from domain.chat import Chat
from infrastructure.event_store.bare_events import BareLog


class Fates(msgspec.Struct, frozen=True):
    """Ids are those of bare events, which views take for the real ones."""

    owners: dict[object, Any]
    """Of each chat that was claimed: whose it is in the end."""
    gone: dict[object, Any]
    """Of each chat that was deleted or erased: whose it was."""


def fates_in(log: BareLog, until: int) -> Fates:
    """Raises what the log raises on reading."""
    fates = Fates({}, {})
    claimed: object = log.bare_classes[Chat.Claimed]
    for recorded in log.of_classes((Chat.Claimed, Chat.Deleted, Chat.Erased), until):
        if type(recorded.event) is claimed:
            fates.owners[recorded.stream_id] = recorded.event.owner
        else:
            # Erased after it was deleted, a chat has gone already.
            fates.gone.setdefault(recorded.stream_id, recorded.event.owner)
    return fates
