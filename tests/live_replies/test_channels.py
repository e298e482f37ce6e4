"""Valkey's channels by themselves, and what an owner says on them to who asks."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from valkey import Valkey as Client
from valkey.client import PubSub

from infrastructure.live_replies import answering
from infrastructure.live_replies.channels import Away, ValkeyChannels
from infrastructure.live_replies.messages import (
    Asked,
    ChannelNames,
    Told,
    decode_told,
    encode_to_node,
)
from tests.engines import Valkey
from tests.live_replies.given import Answered, Faults, Node, run, until


class Ear:
    def __init__(self) -> None:
        self.joins = 0
        self.payloads: list[bytes] = []

    def joined(self) -> None:
        self.joins += 1

    def heard(self, payload: bytes) -> None:
        self.payloads.append(payload)


def connected(url: str, scenario: Callable[[ValkeyChannels], Awaitable[None]]) -> None:
    async def play() -> None:
        faults = Faults()
        channels = ValkeyChannels.at(url, faults)
        running = asyncio.create_task(channels.run())
        try:
            await until(lambda: channels.open)
            await scenario(channels)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await channels.aclose()
        assert faults.seen == []

    asyncio.run(play())


def test_a_channel_that_another_has_taken_over_stays_with_that_one(valkey: Valkey) -> None:
    async def scenario(channels: ValkeyChannels) -> None:
        name, first, second = uuid4().bytes, Ear(), Ear()
        channels.join(name, first)
        await until(lambda: first.joins == 1)
        channels.join(name, second)
        await until(lambda: second.joins == 1)
        channels.leave(name, first)
        marker = Ear()
        channels.join(name + b"2", marker)
        await until(lambda: marker.joins == 1)  # so that all before it is done
        await channels.send([(name, b"one"), (name, b"two")])
        await until(lambda: len(second.payloads) == 2)
        assert (first.payloads, second.payloads) == ([], [b"one", b"two"])

    connected(valkey.url, scenario)


def test_all_is_joined_again_when_the_server_is_back(mortal_valkey: Valkey) -> None:
    async def scenario(channels: ValkeyChannels) -> None:
        ear = Ear()
        channels.join(b"channel", ear)
        await until(lambda: ear.joins == 1)
        mortal_valkey.kill()
        await until(lambda: not channels.open)
        with pytest.raises(Away):
            await channels.send([(b"channel", b"lost")])
        mortal_valkey.restart()
        await until(lambda: ear.joins == 2)
        await channels.send([(b"channel", b"heard")])
        await until(lambda: bool(ear.payloads))
        assert ear.payloads == [b"heard"]

    connected(mortal_valkey.url, scenario)


class Asker:
    """One who speaks as a node does, without being one."""

    def __init__(self, client: Client, node: Node, reply: Answered) -> None:
        names = ChannelNames(node.store.log_id)
        self._client, self._reply = client, reply
        self._node = names.of_node(node.held.lease.node)
        pubsub = PubSub(client.connection_pool, ignore_subscribe_messages=True)
        self._pubsub = cast(Any, pubsub)  # most of it is untyped
        self._pubsub.subscribe(names.of_reply(reply.id))
        self._pubsub.get_message(timeout=5)

    def ask(self, text: int) -> None:
        asked = encode_to_node(Asked(self._reply.id, text, 0))
        assert self._client.publish(self._node, asked) == 1

    async def told(self, within: float = 5.0) -> Told | None:
        message = await asyncio.to_thread(self._pubsub.get_message, timeout=within)
        return decode_told(message["data"]) if message else None


def test_a_question_is_answered_though_there_is_nothing_new(tmp_path: Path, valkey: Valkey) -> None:
    async def scenario(one: Node, _: Node) -> None:
        reply = await one.answer()
        with Client.from_url(valkey.url) as client:
            asker = Asker(client, one, reply)
            asker.ask(0)
            assert await asker.told() == Told(reply.lease, False, 0, 0, b"", b"")
            reply.live.append("now", "")
            assert await asker.told() == Told(reply.lease, False, 0, 0, b"now", b"")
            asker.ask(1)
            assert await asker.told() == Told(reply.lease, False, 1, 0, b"ow", b"")

    run(tmp_path, valkey.url, scenario)


def test_who_asks_no_more_is_told_no_more(
    tmp_path: Path, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "INTEREST", 0.2)

    async def scenario(one: Node, _: Node) -> None:
        reply = await one.answer()
        with Client.from_url(valkey.url) as client:
            asker = Asker(client, one, reply)
            asker.ask(0)
            assert await asker.told() is not None
            async with asyncio.timeout(20):
                reply.live.append("x", "")
                while await asker.told(within=0.5):
                    reply.live.append("x", "")
            asker.ask(0)
            told = await asker.told()
            assert told is not None
            assert told.text == bytes(reply.live.text)

    run(tmp_path, valkey.url, scenario)
