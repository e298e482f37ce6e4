"""Replies followed from another node where there is nothing but the log between them."""

from pathlib import Path
from uuid import UUID, uuid4

from application.ports import Lease, OpenReplyRow
from infrastructure.live_replies.channels import NoChannels
from infrastructure.live_replies.elsewhere import RemoteReply, RepliesElsewhere
from infrastructure.live_replies.messages import ChannelNames, Told, encode_told
from tests.live_replies.given import Faults, Follower, Node, run

OWNER = Lease(uuid4(), 3)


def test_without_valkey_the_text_grows_by_checkpoints(tmp_path: Path) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        followers = [Follower(other, reply.id) for _ in range(3)]
        for text in ("Héllo ", "سلام"):
            reply.live.append(text, text.upper())
            await one.checkpoint(reply)
            for follower in followers:
                said = bytes(reply.live.text).decode()
                await follower.until(said, said.upper())
        assert other.live.followed_elsewhere == 1
        await one.end(reply)
        for follower in followers:
            await follower.until_end()
        assert other.live.followed_elsewhere == 0
        assert other.live.state() is None  # nothing is amiss

    run(tmp_path, None, scenario)


def test_a_reply_that_nobody_answers_has_ended(tmp_path: Path) -> None:
    async def scenario(one: Node, other: Node) -> None:
        follower = Follower(other, uuid4())
        await follower.until_end()
        assert follower.text == b""

    run(tmp_path, None, scenario)


def test_a_nodes_own_reply_is_followed_in_its_memory(tmp_path: Path) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        async with one.live.follow(reply.id) as live:
            assert live is reply.live
            assert one.live.followed_elsewhere == 0
        assert other.live.find(reply.id) is None

    run(tmp_path, None, scenario)


def test_a_log_that_cannot_be_read_is_told_of_and_read_again(tmp_path: Path) -> None:
    broken = OSError("the disk is away")

    async def scenario(one: Node, _: Node) -> None:
        reply = await one.answer()
        reply.live.append("there", "")
        await one.checkpoint(reply)
        breaks = [broken]

        async def find(reply_id: UUID) -> OpenReplyRow | None:
            if breaks:
                raise breaks.pop()
            return await one.store.find_open_reply(reply_id)

        faults = Faults()
        names = ChannelNames(one.store.log_id)
        replies = RepliesElsewhere(NoChannels(), names, find, faults)
        async with replies.follow(reply.id) as live:
            await live.beyond(0, 0)
            assert bytes(live.text) == b"there"
        assert faults.seen == [broken]

    run(tmp_path, None, scenario)


def told(text_at: int, text: str, reasoning_at: int = 0, reasoning: str = "") -> bytes:
    return encode_told(Told(OWNER, False, text_at, reasoning_at, text.encode(), reasoning.encode()))


def test_pieces_that_overlap_are_joined_and_gaps_are_noticed() -> None:
    reply = RemoteReply()
    reply.heard(told(0, "unknown owner"))
    assert (bytes(reply.text), reply.answered) == (b"", False)
    reply.owner = OWNER
    reply.heard(told(0, "abc"))
    reply.heard(told(1, "bcd", 0, "x"))
    reply.heard(told(0, "ab"))
    assert (bytes(reply.text), bytes(reply.reasoning)) == (b"abcd", b"x")
    assert not reply.woken.is_set()
    reply.heard(told(5, "f"))
    assert bytes(reply.text) == b"abcd"
    assert reply.woken.is_set()
    reply.reach(b"abcde", b"")
    reply.heard(told(5, "f", 1, "y"))
    assert (bytes(reply.text), bytes(reply.reasoning)) == (b"abcdef", b"xy")
