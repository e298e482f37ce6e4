"""`serve --workers`: several nodes on one port, and how they go down together."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.engines import Postgres
from tests.node import run
from tests.service import ROOT, Service, bearer, joined, named, sending, token, until
from tests.upstream import Upstream

SECRET = "a secret that all nodes share, of 32 bytes"


def environ(database_url: str, workers: int, **more: str) -> dict[str, str]:
    return {
        "DABIR_DATABASE_URL": database_url,
        "DABIR_SECRET": SECRET,
        "DABIR_WORKERS": str(workers),
        **more,
    }


@contextmanager
def serving(
    folder: Path,
    upstream: Upstream,
    database_url: str,
    workers: int,
    *,
    forked: bool = True,
    **more: str,
) -> Iterator[Service]:
    """Returns once all of them serve."""
    settings = environ(database_url, workers, **more)
    with Service(folder / "data", upstream.api_base, environ=settings, forked=forked) as service:
        until(lambda: service.count_in_log('"serving"') == workers, 60)
        yield service


@pytest.fixture(scope="module")
def pair(
    postgres: Postgres, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Two workers that are ready, and that nobody may kill."""
    database_url = postgres.create()
    with serving(tmp_path_factory.mktemp("pair"), upstream, database_url, 2) as service:
        yield service.wait_ready()
    postgres.drop(database_url)


def started(service: Service) -> dict[int, int]:
    """The process of each worker, as of now."""
    lines = [json.loads(line) for line in service.log if '"worker started"' in line]
    return {line["worker"]: line["pid"] for line in lines}


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # who is orphaned in a container may never be waited for


async def _answered_by(url: str, connections: int) -> Counter[str]:
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=30) as client:
        pages = await asyncio.gather(*(client.get(f"{url}/metrics") for _ in range(connections)))
    counted: Counter[str] = Counter()
    for page in pages:
        counted.update(re.findall(r"^process_start_time_seconds (\S+)$", page.text, re.M))
    return counted


def answered_by(service: Service, connections: int) -> Counter[str]:
    """How many of so many connections at once each process got, by when it started."""
    return asyncio.run(_answered_by(service.url, connections))


def test_sqlite_serves_one(tmp_path: Path) -> None:
    done = Service(tmp_path / "data", None).dabir("serve", "--workers", "2")
    assert done.returncode == 2
    assert "--workers above 1 needs DABIR_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_workers_that_cannot_start_say_so_once(tmp_path: Path, upstream: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
    nowhere = environ(f"postgresql://nobody:nothing@127.0.0.1:{port}/none", 3)
    service = Service(tmp_path / "data", upstream.api_base, environ=nowhere)
    done = service.dabir("serve")
    assert done.returncode > 0
    assert done.stderr.count('"worker started"') == 1
    assert "nothing" not in done.stderr


def test_all_of_them_get_connections_and_write_one_log(pair: Service) -> None:
    counted = answered_by(pair, 200)
    assert len(counted) == 2
    assert sum(counted.values()) == 200

    async def one(client: httpx.AsyncClient, number: int) -> str:
        url, headers = f"{pair.url}/api/v1/messages/send", bearer(f"user-{number}")
        answer = await client.post(url, json={"content": "hello"}, headers=headers)
        assert answer.text.count("event: assistant_complete") == 1, answer.text
        (reply,) = set(re.findall(r'"reply_id":"([^"]+)"', answer.text))
        return str(reply)

    async def many() -> list[str]:
        async with httpx.AsyncClient(timeout=60) as client:
            return await asyncio.gather(*(one(client, number) for number in range(30)))

    # Forked processes could make the same ids.
    assert len(set(asyncio.run(many()))) == 30
    checked = pair.dabir("replay", "--check")
    assert checked.returncode == 0, checked.stderr


def test_polling_is_refused_in_words_and_websocket_served(pair: Service) -> None:
    poll = httpx.get(f"{pair.url}/socket.io/?EIO=4&transport=polling", timeout=30)
    assert poll.status_code == 400
    assert "transports: ['websocket']" in poll.json()["message"]
    pushed = [event for event, _ in run(pair, "both_channels", token("ada"), "websocket")]
    assert pushed.count("message_completed") == 1


def test_the_parent_holds_next_to_nothing(
    tmp_path: Path, upstream: Upstream, database_url: str
) -> None:
    with serving(tmp_path, upstream, database_url, 2, forked=False) as service:
        worker = started(service.wait_ready())[1]
        parent = int(status_of(worker)["PPid"])
        assert status_of(parent)["Threads"] == "1"
        assert memory_of(parent) < memory_of(worker) / 2


def test_one_that_dies_is_replaced_while_the_others_serve(
    tmp_path: Path, upstream: Upstream, database_url: str
) -> None:
    with serving(tmp_path, upstream, database_url, 2) as service:
        before = started(service)
        os.kill(before[1], signal.SIGKILL)
        service.wait_for_log('"worker died"')
        while service.count_in_log('"serving"') < 3:
            assert httpx.get(f"{service.url}/healthz", timeout=30).status_code == 200
        after = started(service)
        assert after[1] != before[1]
        assert after[2] == before[2]
        assert is_running(after[1])
        assert service.stop() == 0


def test_told_to_stop_they_let_replies_end(
    tmp_path: Path, upstream: Upstream, database_url: str
) -> None:
    """A terminal and systemd may signal all of them: that counts once."""
    with serving(tmp_path, upstream, database_url, 2) as service, ExitStack() as streams:
        gate = "workers"
        opened = [
            streams.enter_context(
                sending(service, bearer(f"user-{number}"), content=f"[[gate-{gate}]] the end")
            )
            for number in range(4)
        ]
        seen = [stream.until("assistant_delta") for stream in opened]
        workers = list(started(service).values())
        for pid in workers:
            os.kill(pid, signal.SIGINT)
        service.signal(signal.SIGINT)
        until(lambda: service.count_in_log('"waits_for": "replies"') == 2)
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        upstream.release(gate)
        for stream, events in zip(opened, seen, strict=True):
            events += stream.rest()
            assert named(events, "assistant_complete").data["content"] == joined(events)
        assert service.wait() == 0
        assert not any(map(is_running, workers))


def test_a_second_signal_ends_them_at_once(
    tmp_path: Path, upstream: Upstream, database_url: str
) -> None:
    with serving(tmp_path, upstream, database_url, 2) as service:
        with sending(service, bearer("ada"), content="[[gate-never]]") as stream:
            stream.until("assistant_delta")
            service.signal(signal.SIGTERM)
            service.wait_for_log('"waits_for": "replies"')
            workers = list(started(service).values())
            service.signal(signal.SIGTERM)
            assert service.wait(10) == 1
        assert not any(map(is_running, workers))


def test_without_their_parent_they_drain_and_go(
    tmp_path: Path, upstream: Upstream, database_url: str
) -> None:
    with serving(tmp_path, upstream, database_url, 2) as service:
        workers = list(started(service).values())
        with sending(service, bearer("ada"), content="[[gate-orphans]] the end") as stream:
            seen = stream.until("assistant_delta")
            service.signal(signal.SIGKILL)
            service.wait()
            until(lambda: service.count_in_log('"draining"') >= 2)
            upstream.release("orphans")
            events = seen + stream.rest()
        assert named(events, "assistant_complete").data["content"] == joined(events)
        until(lambda: not any(map(is_running, workers)), 30)


def test_told_to_stop_before_they_serve_they_go(tmp_path: Path, database_url: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name[:6] != "DABIR_"}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "dabir.py"), "serve", "--workers", "2"],
        env=clean | environ(database_url, 2, DABIR_PORT="0"),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while '"worker started"' not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode == 0
    assert '"worker started"' not in rest
    assert '"serving"' not in rest


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def memory_of(pid: int) -> int:
    """Kilobytes that are its own."""
    return int(status_of(pid)["RssAnon"].split()[0])
