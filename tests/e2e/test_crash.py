"""`kill -9` under load: what was acknowledged is there, and what was under way has one end."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from infrastructure.event_store.store import SqlEventStore
from infrastructure.system import SystemClock
from tests.projections.live_build import rebuild_in
from tests.projections.places import differing_tables
from tests.service import (
    MODELS,
    Event,
    Service,
    attaching,
    bearer,
    joined,
    named,
    send,
    sending,
    until,
)
from tests.upstream import Upstream


async def _write(service: Service, worker: int, acknowledged: list[dict[str, Any]]) -> None:
    """Send until the server is gone, keeping what it said."""
    async with httpx.AsyncClient(timeout=30, headers=bearer(f"writer-{worker}")) as client:
        for number in range(1000):
            body = {"content": f"message {number} of {worker}"}
            url = f"{service.url}/api/v1/messages/send"
            async with client.stream("POST", url, json=body) as answer:
                text = b""
                async for chunk in answer.aiter_raw():
                    text += chunk
                    if b"event: usage_info" in text:
                        acknowledged.append({"reply_id": answer.headers["x-reply-id"], **body})


async def _load_until_killed(service: Service) -> list[dict[str, Any]]:
    acknowledged: list[dict[str, Any]] = []
    writers = [asyncio.create_task(_write(service, n, acknowledged)) for n in range(8)]
    while len(acknowledged) < 60:
        await asyncio.wait(writers, timeout=0.02, return_when=asyncio.FIRST_EXCEPTION)
    service.kill()
    ended = await asyncio.gather(*writers, return_exceptions=True)
    assert all(isinstance(error, httpx.TransportError) for error in ended)
    return acknowledged


async def _differences_from_a_replay(data_dir: Path) -> list[str]:
    """The tables in which the views differ from those that the whole log makes."""
    store = await SqlEventStore.open(f"sqlite:///{data_dir / 'events.db'}", clock=SystemClock())
    try:
        replayed = data_dir / "replayed.db"
        assert await rebuild_in(replayed, store) == await store.head() > 0
        return differing_tables(data_dir / "views-1.db", replayed)
    finally:
        await store.close()


def test_every_acknowledged_answer_survives_kill_minus_nine(
    upstream: Upstream, tmp_path: Path
) -> None:
    service = Service(tmp_path / "data", upstream.api_base)
    with service:
        service.wait_ready()
        acknowledged = asyncio.run(_load_until_killed(service))
    with service:
        for said in acknowledged:
            with attaching(
                service, bearer(f"writer-{said['content'][-1]}"), reply_id=said["reply_id"]
            ) as stream:
                assert joined(stream.rest()) == said["content"]
        service.stop()
    assert asyncio.run(_differences_from_a_replay(tmp_path / "data")) == []
    with sqlite3.connect(tmp_path / "data" / "events.db") as log:
        positions = [row[0] for row in log.execute("SELECT position FROM events ORDER BY position")]
        assert positions == list(range(1, len(positions) + 1))
        (still_open,) = log.execute("SELECT count(*) FROM open_replies").fetchone()
        assert still_open == 0
        topics = dict(log.execute("SELECT topic, count(*) FROM events GROUP BY topic").fetchall())
    ends = ("chat.message-completed", "chat.reply-interrupted", "chat.reply-failed")
    assert topics["chat.reply-started"] == sum(topics.get(end, 0) for end in ends)
    holds = ("usage.hold-settled", "usage.hold-released")
    assert topics["usage.amount-held"] == sum(topics.get(end, 0) for end in holds)


class AfterTheCrash(NamedTuple):
    """A server that was killed and started again, and what was seen before."""

    service: Service
    cut: list[Event]
    keyed: list[Event]
    free: list[Event]


ADA = bearer("ada")
KEY = {"idempotency-key": "the same"}


@pytest.fixture(scope="module")
def after(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AfterTheCrash]:
    data = tmp_path_factory.mktemp("crash") / "data"
    environ = {"DABIR_STARTING_BALANCE": "5"}
    with Service(data, upstream.api_base, environ=environ) as before:
        keyed = send(before, ADA | KEY, "only once")
        free = send(before, ADA, "hello", model="free")
        with sending(before, ADA, content="[[gate-crash]]", model="paid") as stream:
            cut = stream.until("assistant_delta")
            with sqlite3.connect(data / "events.db") as log:
                # Unsealed, after the byte that says so and its salt.
                draft = "SELECT count(*) FROM open_replies WHERE substr(text, 18) = ?"
                until(lambda: log.execute(draft, (joined(cut).encode(),)).fetchone() == (1,))
            before.kill()
    # Meanwhile the operator has taken a model out of the catalogue.
    models = MODELS.replace('"free"', '"other"')
    with Service(data, upstream.api_base, models=models, environ=environ) as service:
        yield AfterTheCrash(service.wait_ready(), cut, keyed, free)


def test_a_reply_cut_by_a_crash_is_interrupted_with_its_text_and_can_be_regenerated(
    after: AfterTheCrash, upstream: Upstream
) -> None:
    with attaching(after.service, last_event_id=after.cut[-1].id) as stream:
        rest = stream.rest()
    error = named(rest, "assistant_error").data
    assert error["code"] == "INTERRUPTED"
    assert error["content"] == joined(after.cut)
    account = named(rest, "usage_info").data
    assert account["reserved"] == "0"
    assert float(account["spent"]) > 0
    upstream.release("crash")
    with sending(after.service, ADA, route="regenerate", chat_id=error["chat_id"]) as stream:
        assert named(stream.rest(), "assistant_regenerated").data["version"] == 2


def test_a_key_attaches_after_a_crash_too(after: AfterTheCrash, upstream: Upstream) -> None:
    calls = upstream.calls
    again = send(after.service, ADA | KEY, "only once")
    assert named(again, "assistant_complete") == named(after.keyed, "assistant_complete")
    assert upstream.calls == calls


def test_a_chat_outlives_its_model(after: AfterTheCrash) -> None:
    again = send(after.service, ADA, "again", chat_id=after.free[0].data["chat_id"])
    assert again[0].data["model"] == "other"
    with sending(after.service, ADA, content="x", model="free") as stream:
        assert stream.rest()[0].data["code"] == "MODEL_NOT_FOUND"


def test_two_servers_never_share_a_folder(after: AfterTheCrash, upstream: Upstream) -> None:
    second = Service(after.service.data_dir, upstream.api_base)
    try:
        second.start()
    except AssertionError:
        assert second.wait() == 2
        assert "another server is running" in "\n".join(second.log)
    else:
        second.stop()
        raise AssertionError("two servers share a folder")
