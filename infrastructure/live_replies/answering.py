"""Tells other nodes what this node's replies say, as long as somebody there follows them.

A reply that nobody follows from elsewhere costs nothing. What has grown of the others goes out in
one round trip for all of them, some times a second, and never on the time of who answers.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

import msgspec

from application.errors import LeaseLost
from application.live_replies import LeaseHolder, LiveReply
from application.ports import Lease, OpenReplyRow
from infrastructure.live_replies.channels import Away, Channels, Faults
from infrastructure.live_replies.messages import (
    Asked,
    ChannelNames,
    Reaped,
    Told,
    decode_to_node,
    encode_to_node,
    encode_told,
)

INTERVAL = 0.05
LONGEST_INTERVAL = 1.0
REST = 15
"""How many times as long as a batch took nothing is sent after it: so it takes 6 % of the time."""
INTEREST = 12.0
"""Seconds for which one question is answered. Followers ask again long before."""


class Followed(msgspec.Struct):
    """A reply of ours that somebody follows from elsewhere; offsets in bytes of what was sent."""

    live: LiveReply
    owner: Lease
    text: int
    reasoning: int
    until: float
    asked: bool = True
    """Somebody waits for an answer, be there more text or not."""


class Answering:
    """`find` knows the replies of this node, whose lease is among `leases`.

    `lost` is called when another node has ended replies of this one, which it may do only after the
    lease has run out.
    """

    def __init__(
        self,
        channels: Channels,
        names: ChannelNames,
        node: UUID,
        find: Callable[[UUID], LiveReply | None],
        leases: LeaseHolder,
        lost: Callable[[], None],
        observer: Faults,
    ) -> None:
        self._channels = channels
        self._names = names
        self._node = node
        self._find = find
        self._leases = leases
        self._lost = lost
        self._observer = observer
        self._followed: dict[UUID, Followed] = {}
        self._notices: list[tuple[bytes, bytes]] = []
        self._work = asyncio.Event()

    def joined(self) -> None:
        """Who asked while nothing was heard asks again."""

    def heard(self, payload: bytes) -> None:
        message = decode_to_node(payload)
        if isinstance(message, Asked):
            self._note(message)
        elif (lease := self._lease()) and message.epoch == lease.epoch:
            self._lost()

    def reaped(self, row: OpenReplyRow) -> None:
        """Tell of a reply of another node that this one has ended: its followers, and its node."""
        end = Told(Lease(row.node, row.epoch), True, 0, 0, b"", b"")
        self._notices.append((self._names.of_reply(row.reply_id), encode_told(end)))
        lost = encode_to_node(Reaped(row.epoch))
        self._notices.append((self._names.of_node(row.node), lost))
        self._work.set()

    async def run(self) -> None:
        """Listen for questions and answer them, until cancelled."""
        self._channels.join(self._names.of_node(self._node), self)
        while True:
            await self._work.wait()
            began = asyncio.get_running_loop().time()
            try:
                await self.send_news()
            except Away:
                # Nothing is kept for later: followers read the log meanwhile, and ask again.
                self._followed.clear()
                self._notices.clear()
            except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                self._observer.fault("live text", error)
            if not self._followed and not self._notices:
                self._work.clear()
            took = asyncio.get_running_loop().time() - began
            await asyncio.sleep(min(max(INTERVAL, REST * took), LONGEST_INTERVAL))

    async def send_news(self) -> None:
        """All there is to tell, in one round trip. Raises Away."""
        messages, self._notices = self._notices, []
        now = asyncio.get_running_loop().time()
        for reply_id, followed in list(self._followed.items()):
            told = _news_of(followed)
            if told is not None:
                messages.append((self._names.of_reply(reply_id), encode_told(told)))
            if followed.live.ended or now > followed.until:
                del self._followed[reply_id]
        if messages:
            await self._channels.send(messages)

    def _note(self, asked: Asked) -> None:
        live, lease = self._find(asked.reply_id), self._lease()
        if live is None or lease is None:
            return  # it has just ended, or not quite begun, or is ours no more: the log knows
        until = asyncio.get_running_loop().time() + INTEREST
        followed = self._followed.get(asked.reply_id)
        if followed is None:
            followed = Followed(live, lease, len(live.text), len(live.reasoning), until)
            self._followed[asked.reply_id] = followed
        # Those who are further on skip what they have.
        followed.text = min(followed.text, asked.text)
        followed.reasoning = min(followed.reasoning, asked.reasoning)
        followed.until, followed.asked = until, True
        self._work.set()

    def _lease(self) -> Lease | None:
        try:
            return self._leases.lease
        except LeaseLost:
            return None


def _news_of(followed: Followed) -> Told | None:
    """What has come since the last time, from then on counted as sent."""
    live = followed.live
    text = bytes(live.text[followed.text :])
    reasoning = bytes(live.reasoning[followed.reasoning :])
    if not (text or reasoning or live.ended or followed.asked):
        return None
    told = Told(followed.owner, live.ended, followed.text, followed.reasoning, text, reasoning)
    followed.text, followed.reasoning = len(live.text), len(live.reasoning)
    followed.asked = False
    return told
