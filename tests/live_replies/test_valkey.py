"""Replies followed from another node, through Valkey: the log holds nothing of their text here."""

import asyncio
from pathlib import Path

import pytest
from valkey import Valkey as Client

from application.ports import Lease
from infrastructure.live_replies.messages import ChannelNames, Told, encode_told
from tests.engines import Valkey
from tests.event_store.given import opened as opened_store
from tests.live_replies.given import Answered, Follower, Node, node_of, run, until

WORDS = ["Héllo ", "سلام ", "🙂", " und so weiter"]


def test_a_follower_elsewhere_gets_the_text_as_it_grows(tmp_path: Path, valkey: Valkey) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        follower = Follower(other, reply.id)
        for count, word in enumerate(WORDS, 1):
            reply.live.append(word, word.upper())
            so_far = "".join(WORDS[:count])
            await follower.until(so_far, so_far.upper())
        assert follower.pieces == [word.encode() for word in WORDS]

    run(tmp_path, valkey.url, scenario)


def test_who_comes_late_gets_what_was_said_before(tmp_path: Path, valkey: Valkey) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        early = Follower(other, reply.id)
        reply.live.append("one ", "")
        await early.until("one ")
        late = Follower(other, reply.id)
        await late.until("one ")
        reply.live.append("two", "")
        await early.until("one two")
        await late.until("one two")

    run(tmp_path, valkey.url, scenario)


def test_the_first_question_is_answered_though_nothing_grows(
    tmp_path: Path, valkey: Valkey
) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        reply.live.append("said before anybody came", "")
        await Follower(other, reply.id).until("said before anybody came")

    run(tmp_path, valkey.url, scenario)


def test_the_end_comes_with_all_of_the_text(tmp_path: Path, valkey: Valkey) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        follower = Follower(other, reply.id)
        reply.live.append("one ", "")
        await follower.until("one ")
        reply.live.append("two", "")
        await one.end(reply)
        # Sooner than the next look into the log, so it was told.
        async with asyncio.timeout(2):
            await follower.until_end()
        assert follower.text == b"one two"

    run(tmp_path, valkey.url, scenario)


def test_all_who_follow_a_reply_on_a_node_share_one(tmp_path: Path, valkey: Valkey) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        followers = [Follower(other, reply.id) for _ in range(50)]
        reply.live.append("for all", "")
        for follower in followers:
            await follower.until("for all")
        channel = ChannelNames(one.store.log_id).of_reply(reply.id)
        with Client.from_url(valkey.url) as client:
            assert other.live.followed_elsewhere == 1
            assert client.pubsub_numsub(channel) == [(channel, 1)]
            for follower in followers[1:]:
                await follower.leave()
            reply.live.append(" who stay", "")
            await followers[0].until("for all who stay")
            await followers[0].leave()
            assert other.live.followed_elsewhere == 0
            await until(lambda: client.pubsub_numsub(channel) == [(channel, 0)])

    run(tmp_path, valkey.url, scenario)


def test_one_who_leaves_takes_nothing_from_one_who_comes_that_moment(
    tmp_path: Path, valkey: Valkey
) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        for round_ in range(5):
            async with other.live.follow(reply.id) as live:
                await live.beyond(-1, 0)
                await asyncio.sleep(0)
            follower = Follower(other, reply.id)
            reply.live.append(f"{round_}", "")
            # Without its channel it would get this from nowhere, as there are no drafts.
            await follower.until(bytes(reply.live.text).decode())
            await follower.leave()

    run(tmp_path, valkey.url, scenario)


def test_a_reply_that_nobody_follows_costs_valkey_nothing(
    tmp_path: Path, mortal_valkey: Valkey
) -> None:
    async def scenario(one: Node, other: Node) -> None:
        quiet, loud = await one.answer(), await one.answer()
        follower = Follower(other, loud.id)
        for _ in range(5):
            quiet.live.append("unheard", "")
            loud.live.append("x", "")
            await follower.until(bytes(loud.live.text).decode())
        await one.end(quiet)
        with Client.from_url(mortal_valkey.url) as client:
            before = client.info("commandstats")["cmdstat_publish"]["calls"]
            await follower.leave()
            assert client.keys() == []  # nor is anything of any text kept there
            quiet = await one.answer()
            quiet.live.append("unheard", "")
            await one.end(quiet)
            again = Follower(other, loud.id)
            await again.until("xxxxx")
            after = client.info("commandstats")["cmdstat_publish"]["calls"]
        # A question and its answer, perhaps asked again before it was heard.
        assert 0 < after - before <= 6

    run(tmp_path, mortal_valkey.url, scenario)


def test_text_goes_on_through_the_log_while_valkey_is_gone(
    tmp_path: Path, mortal_valkey: Valkey
) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        follower = Follower(other, reply.id)
        reply.live.append("before ", "")
        await follower.until("before ")
        mortal_valkey.kill()
        await until(lambda: not one.live.answers and not other.live.answers)
        assert "Valkey" in (other.live.state() or "")
        reply.live.append("while ", "")
        await one.checkpoint(reply)
        await follower.until("before while ")
        mortal_valkey.restart()
        await until(lambda: one.live.answers and other.live.answers)
        assert other.live.state() is None
        reply.live.append("after", "")  # and no checkpoint: only Valkey can have brought it
        await follower.until("before while after")
        await one.end(reply)
        await follower.until_end()

    run(tmp_path, mortal_valkey.url, scenario)


def test_what_was_missed_is_asked_for(tmp_path: Path, mortal_valkey: Valkey) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        follower = Follower(other, reply.id)
        reply.live.append("heard ", "")
        await follower.until("heard ")
        with Client.from_url(mortal_valkey.url) as client:
            # One message is lost on the way: here a later one comes alone.
            channel = ChannelNames(one.store.log_id).of_reply(reply.id)
            lost = Told(reply.lease, False, 400, 0, b"from afar", b"")
            client.publish(channel, encode_told(lost))
            reply.live.append("and ", "")
            await follower.until("heard and ")
            # All connections on which anybody listens are cut.
            client.client_kill_filter(_type="pubsub")
            reply.live.append("missed", "")
            await follower.until("heard and missed")

    run(tmp_path, mortal_valkey.url, scenario)


def test_a_zombie_is_not_heard_and_hears_that_it_is_one(tmp_path: Path, valkey: Valkey) -> None:
    async def scenario(zombie: Node, other: Node) -> None:
        reply = await zombie.answer()
        follower = Follower(other, reply.id)
        reply.live.append("kept", "")
        await follower.until("kept")
        row = await other.store.find_open_reply(reply.id)
        assert row is not None
        await other.append_end(reply)
        other.live.reaped(row)
        await follower.until_end()
        await until(lambda: zombie.lost == [True])
        assert other.lost == []
        reply.live.append(" and never said", "")
        late = Follower(other, reply.id)
        await late.until_end()
        assert follower.text == b"kept"
        assert late.text == b""

    run(tmp_path, valkey.url, scenario)


@pytest.mark.parametrize("which", ["older epoch", "other node"])
def test_only_the_owner_is_heard(tmp_path: Path, valkey: Valkey, which: str) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        follower = Follower(other, reply.id)
        reply.live.append("true", "")
        await follower.until("true")
        impostor = (
            Lease(reply.lease.node, reply.lease.epoch - 1)
            if which == "older epoch"
            else other.held.lease
        )
        with Client.from_url(valkey.url) as client:
            channel = ChannelNames(one.store.log_id).of_reply(reply.id)
            client.publish(channel, encode_told(Told(impostor, True, 4, 0, b" or not", b"")))
        reply.live.append(" words", "")
        await follower.until("true words")
        assert not follower.ended

    run(tmp_path, valkey.url, scenario)


def test_the_lease_of_another_epoch_is_not_lost(tmp_path: Path, valkey: Valkey) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        row = await other.store.find_open_reply(reply.id)
        assert row is not None
        row.epoch -= 1
        other.live.reaped(row)
        row.epoch += 1
        other.live.reaped(row)
        await until(lambda: bool(one.lost))
        assert one.lost == [True]

    run(tmp_path, valkey.url, scenario)


def test_a_message_that_makes_no_sense_keeps_nobody_from_the_next(
    tmp_path: Path, valkey: Valkey
) -> None:
    async def scenario(one: Node, other: Node) -> None:
        reply = await one.answer()
        follower = Follower(other, reply.id)
        reply.live.append("before", "")
        await follower.until("before")
        with Client.from_url(valkey.url) as client:
            names = ChannelNames(one.store.log_id)
            client.publish(names.of_reply(reply.id), b"nonsense")
            client.publish(names.of_node(one.held.lease.node), b"nonsense")
        reply.live.append(" and after", "")
        await follower.until("before and after")
        await until(lambda: len(one.faults.seen) == len(other.faults.seen) == 1)
        one.faults.seen.clear()
        other.faults.seen.clear()

    run(tmp_path, valkey.url, scenario)


def test_installations_that_share_a_server_do_not_hear_each_other(
    tmp_path: Path, valkey: Valkey
) -> None:
    async def scenario(one: Node, _: Node) -> None:
        reply: Answered = await one.answer()
        async with (
            opened_store(f"sqlite:///{tmp_path / 'events.db'}") as store,
            node_of(store, valkey.url, log_id="another") as stranger,
        ):
            await until(lambda: stranger.live.answers)
            follower = Follower(stranger, reply.id)
            reply.live.append("ours", "")
            await one.checkpoint(reply)
            await follower.until("ours")
            reply.live.append(" alone", "")
            await one.append_end(reply)
            await follower.until_end()
            assert follower.text == b"ours"

    run(tmp_path, valkey.url, scenario)
