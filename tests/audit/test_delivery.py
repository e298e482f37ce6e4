"""Checkpoints reach whoever audits, whole, and are tried again until they do."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infrastructure.audit.sealing import Sealing
from infrastructure.audit.trail import SqlAuditTrail
from tests.audit.given import World, unwatched


class Receiver(HTTPServer):
    """An auditor's address: answers with what `statuses` say, then with 204."""

    def __init__(self, statuses: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.statuses = statuses
        self.taken: list[tuple[str, str | None, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/checkpoints"


class Taking(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        if status == 204:
            self.server.taken.append((self.path, self.headers["content-type"], body))
        self.send_response(status)
        if status == 302:
            self.send_header("location", self.server.url)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@contextmanager
def receiver(*statuses: int) -> Iterator[Receiver]:
    with Receiver(list(statuses)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def notes(world: World) -> list[str]:
    return [
        str(note) for (note,) in world.query("SELECT note FROM audit_checkpoints ORDER BY size")
    ]


def test_the_folder_gets_whole_files_that_anybody_may_read(world: World) -> None:
    files = sorted(world.checkpoints.iterdir())
    assert [file.name for file in files] == [
        "000000000013.checkpoint",
        "000000000021.checkpoint",
    ]
    assert [file.read_text() for file in files] == notes(world)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o644}
    assert world.checkpoints.stat().st_mode & 0o777 == 0o755


def test_another_checkpoint_of_the_same_size_is_never_replaced(world: World) -> None:
    held = world.checkpoints / "000000000029.checkpoint"
    held.write_text("what tells a fork")
    with world.trail() as trail:
        trail.seal(unwatched)
        with pytest.raises(FileExistsError, match="another checkpoint of 29 events"):
            trail.deliver()
    assert held.read_text() == "what tells a fork"


def test_an_address_gets_each_checkpoint_once(world: World) -> None:
    world.seal_quietly()
    with receiver() as server, world.trail(server.url) as trail:
        assert trail.deliver() == 1
        assert trail.deliver() == 0
        assert server.taken == [("/checkpoints", "text/plain; charset=utf-8", notes(world)[-1])]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_an_address_does_not_take_is_tried_again(status: int, world: World) -> None:
    world.seal_quietly()
    with receiver(status) as server, world.trail(server.url) as trail:
        with pytest.raises(OSError, match=str(status)):
            trail.deliver()
        assert server.taken == []
        assert trail.deliver() == 1
        assert len(server.taken) == 1


class Faults:
    """Remembers what was told, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.heard = asyncio.Event()

    def checkpoint_not_taken(self, error: OSError) -> None:
        self.fault("not taken", error)

    def fault(self, where: str, error: BaseException) -> None:
        self.told.append((where, type(error).__name__))
        self.heard.set()


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - of a thread and a folder, which wake nobody
            await asyncio.sleep(0.01)


def run_sealing(
    trail: SqlAuditTrail, faults: Faults, until: Callable[[Sealing], Awaitable[None]]
) -> None:
    async def run() -> None:
        sealing = Sealing(trail, 0.02, faults)
        keeping = asyncio.create_task(sealing.keep())
        await until(sealing)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(run())


def test_the_server_seals_at_its_pace_and_hands_out(world: World) -> None:
    faults = Faults()

    async def goes_on(sealing: Sealing) -> None:
        await eventually(lambda: sealing.sealed == 29)
        await asyncio.to_thread(world.converse, 1)
        await eventually(lambda: sealing.sealed == 37)
        await eventually((world.checkpoints / "000000000037.checkpoint").exists)

    with world.trail() as trail:
        run_sealing(trail, faults, goes_on)
    assert faults.told == []
    assert world.faults() == []


def test_a_server_told_not_to_seal_does_not(world: World) -> None:
    with world.trail() as trail:
        asyncio.run(asyncio.wait_for(Sealing(trail, 0, Faults()).keep(), 5))
        assert trail.sealer.sealed == 21


def test_a_fork_is_told_at_every_turn_and_what_was_signed_is_still_handed_out(
    world: World,
) -> None:
    faults = Faults()
    world.seal_quietly()
    world.change("UPDATE events SET recorded_at = 1 WHERE position = 29")

    async def told_twice(_: Sealing) -> None:
        async with asyncio.timeout(10):
            while len(faults.told) < 2:
                await faults.heard.wait()
                faults.heard.clear()

    with world.trail() as trail:
        run_sealing(trail, faults, told_twice)
    assert set(faults.told) == {("sealer", "LogForked")}
    assert (world.checkpoints / "000000000029.checkpoint").exists()


def test_an_address_that_takes_nothing_holds_up_no_sealing(world: World) -> None:
    faults = Faults()

    async def goes_on(sealing: Sealing) -> None:
        await faults.heard.wait()
        await asyncio.to_thread(world.converse, 1)
        await eventually(lambda: sealing.sealed == 37)

    world.seal_quietly()
    with receiver(*[500] * 1000) as server, world.trail(server.url) as trail:
        run_sealing(trail, faults, goes_on)
    assert set(faults.told) == {("not taken", "OSError")}
