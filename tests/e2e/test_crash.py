"""`kill -9` under load: what was acknowledged is there, and what was under way has one end."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import httpx

from infrastructure.event_store.store import SqlEventStore
from infrastructure.projections.rebuild import differing_tables, rebuild_in
from infrastructure.system import SystemClock
from tests.service import MODELS, Service, attaching, bearer, joined, named, send, sending, until
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


def test_a_reply_cut_by_a_crash_is_interrupted_with_its_text_and_can_be_regenerated(
    upstream: Upstream, tmp_path: Path
) -> None:
    service = Service(tmp_path / "data", upstream.api_base, environ={"DABIR_STARTING_BALANCE": "5"})
    ada = bearer("ada")
    with service:
        service.wait_ready()
        with sending(service, ada, content="[[gate-crash]]", model="paid") as stream:
            seen = stream.until("assistant_delta")
            with sqlite3.connect(tmp_path / "data" / "events.db") as log:
                draft = "SELECT count(*) FROM open_replies WHERE text = ?"
                text = joined(seen).encode()
                until(lambda: log.execute(draft, (text,)).fetchone() == (1,))
            service.kill()
    with service:
        service.wait_ready()
        with attaching(service, last_event_id=seen[-1].id) as stream:
            rest = stream.rest()
        error = named(rest, "assistant_error").data
        assert error["code"] == "INTERRUPTED"
        assert error["content"] == joined(seen)
        account = named(rest, "usage_info").data
        assert account["reserved"] == "0"
        assert float(account["spent"]) > 0
        upstream.release("crash")
        with sending(service, ada, route="regenerate", chat_id=error["chat_id"]) as stream:
            assert named(stream.rest(), "assistant_regenerated").data["version"] == 2


def test_a_key_attaches_after_a_restart_too(upstream: Upstream, tmp_path: Path) -> None:
    service = Service(tmp_path / "data", upstream.api_base)
    headers = bearer("ada") | {"idempotency-key": "the same"}
    with service:
        first = send(service, headers, "only once")
        service.kill()
    calls = upstream.calls
    with service:
        again = send(service, headers, "only once")
        assert named(again, "assistant_complete") == named(first, "assistant_complete")
        assert upstream.calls == calls


def test_a_chat_outlives_its_model(upstream: Upstream, tmp_path: Path) -> None:
    ada = bearer("ada")
    with Service(tmp_path / "data", upstream.api_base) as service:
        first = send(service, ada, "hello", model="free")
        service.stop()
    renamed = MODELS.replace('"free"', '"other"')
    with Service(tmp_path / "data", upstream.api_base, models=renamed) as service:
        again = send(service, ada, "hello again", chat_id=first[0].data["chat_id"])
        assert again[0].data["model"] == "other"
        with sending(service, ada, content="x", model="free") as stream:
            assert stream.rest()[0].data["code"] == "MODEL_NOT_FOUND"


def test_two_servers_never_share_a_folder(upstream: Upstream, tmp_path: Path) -> None:
    with Service(tmp_path / "data", upstream.api_base):
        second = Service(tmp_path / "data", upstream.api_base)
        try:
            second.start()
        except AssertionError:
            assert second.wait() == 2
            assert "another server is running" in "\n".join(second.log)
        else:
            raise AssertionError("two servers share a folder")
