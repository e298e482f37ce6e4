"""What it costs that replies are followed from other nodes, through a real Valkey.

    python -m benchmarks.live_text [--replies 100 1000] [--batches 50] [--bytes 40]

All replies grow between two batches, and all are followed elsewhere: the worst there is. A batch
is what the owner's node sends at once; a message is what it costs the node that listens.
"""

import argparse
import asyncio
import multiprocessing
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.queues import SimpleQueue
from uuid import UUID, uuid4

import uvloop

from application.live_replies import StartedReply
from application.ports import Lease
from benchmarks.results import KEEP, Result, Row, report
from infrastructure.live_replies.answering import Answering
from infrastructure.live_replies.channels import ValkeyChannels
from infrastructure.live_replies.elsewhere import RemoteReply
from infrastructure.live_replies.memory import MemoryLiveReplies
from infrastructure.live_replies.messages import Asked, ChannelNames, encode_to_node
from tests.engines import own_valkey_server

NAMES = ChannelNames("benchmark")
LEASE = Lease(uuid4(), 1)
PAUSE = 0.05


@dataclass
class Held:
    lease: Lease


class Told:
    def fault(self, where: str, error: BaseException, reply_id: UUID | None = None) -> None:
        raise error


def main(counts: list[int], batches: int, size: int) -> None:
    rows: list[Row] = []
    with own_valkey_server() as valkey:
        for count in counts:
            ids = [uuid4() for _ in range(count)]
            spawn = multiprocessing.get_context("spawn")
            said: SimpleQueue[float] = spawn.SimpleQueue()
            total = batches * size
            following = spawn.Process(target=_follow, args=(valkey.url, ids, total, LEASE, said))
            following.start()
            said.get()  # it listens
            cpu, wall = uvloop.run(_answer(valkey.url, ids, batches, size))
            heard = said.get() / (count * batches)
            following.join()
            rows.append(
                {
                    "replies": count,
                    "CPU a batch, ms": cpu * 1e3,
                    "CPU a reply, µs": cpu / count * 1e6,
                    "a batch in all, ms": wall * 1e3,
                    "CPU a message heard, µs": heard * 1e6,
                }
            )
    report(
        Result(
            name="live_text",
            title="Replies followed from another node, through Valkey",
            how=f"{batches} batches, each reply grows by {size} bytes between two",
            rows=rows,
        )
    )


async def _answer(url: str, ids: list[UUID], batches: int, size: int) -> tuple[float, float]:
    """Seconds of CPU and of time for one batch of the owner."""
    channels, replies = ValkeyChannels.at(url, Told()), MemoryLiveReplies()
    answering = Answering(
        channels, NAMES, LEASE.node, replies.find, Held(LEASE), lambda: None, Told()
    )
    running = asyncio.create_task(channels.run())
    while not channels.open:  # noqa: ASYNC110 - it is told to nobody
        await asyncio.sleep(0.01)
    live = [replies.open(_started(reply_id)) for reply_id in ids]
    for reply_id in ids:
        answering.heard(encode_to_node(Asked(reply_id, 0, 0)))
    cpu = wall = 0.0
    for _ in range(batches):
        for reply in live:
            reply.append("x" * size, "")
        began, used = time.perf_counter(), time.process_time()
        await answering.send_news()
        wall += time.perf_counter() - began
        cpu += time.process_time() - used
        await asyncio.sleep(PAUSE)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await channels.aclose()
    return cpu / batches, wall / batches


def _follow(
    url: str, ids: list[UUID], total: int, owner: Lease, said: "SimpleQueue[float]"
) -> None:
    async def follow() -> None:
        channels, replies = ValkeyChannels.at(url, Told()), [RemoteReply() for _ in ids]
        for reply_id, reply in zip(ids, replies, strict=True):
            reply.owner = owner
            channels.join(NAMES.of_reply(reply_id), reply)
        running = asyncio.create_task(channels.run())
        for reply in replies:
            await reply.confirmed.wait()
        said.put(0.0)
        used = time.process_time()
        for reply in replies:
            await reply.beyond(total - 1, 0)
        said.put(time.process_time() - used)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await channels.aclose()

    uvloop.run(follow())


def _started(reply_id: UUID) -> StartedReply:
    return StartedReply(
        reply_id=reply_id,
        chat_id=uuid4(),
        user_message_id=uuid4(),
        message_id=uuid4(),
        kind="send",
        replaces=None,
        model="m",
        payer=uuid4(),
        started_at=datetime.now(UTC),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replies", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--bytes", type=int, default=40)
    parser.add_argument(KEEP, action="store_true", help="keep the figures for the document")
    given = parser.parse_args()
    main(given.replies, given.batches, given.bytes)
