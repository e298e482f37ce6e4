"""Commands that the console starts: what becomes of them, and of those of others."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import pytest

from application.console.answers import Rebuild, Verification
from application.console.ports import AlreadyRunning
from application.projections import BuildStatus, ViewsStatus
from infrastructure.console.commands import OperatorCommands
from infrastructure.console.rebuilds import ViewRebuilds
from infrastructure.console.verifications import FINDINGS_KEPT, LogVerifications
from infrastructure.system import SystemClock
from interfaces.cli import output

T = TypeVar("T")

DEADLINE = 30


class Node:
    """Where `dabir` is a script of the test."""

    def __init__(self, folder: Path, script: str) -> None:
        self.faults: list[BaseException] = []
        commands = OperatorCommands((sys.executable, "-c", script), folder)
        clock = SystemClock()
        self.build: BuildStatus | None = None
        self.verifications = LogVerifications(commands, clock, self)
        self.builds = ViewRebuilds(commands, self._status, self, clock, self)

    def fault(self, where: str, error: BaseException) -> None:
        self.faults.append(error)

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    def builds_elsewhere(self, state: Literal["running", "broken off", "ready"]) -> None:
        self.build = BuildStatus("7", state, position=30, head=90, bytes=1)

    def _status(self) -> ViewsStatus:
        return ViewsStatus(3, "6", 100, 100, 0, 1, (), self.build, server=True)


async def ended(latest: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(DEADLINE):
        # The command's end is in another process: only asking can tell.
        while (seen := await latest()).state == "running":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return seen


async def verified(node: Node) -> Verification:
    async def latest() -> Verification:
        return node.verifications.latest()

    await node.verifications.start()
    seen: Verification = await ended(latest)
    return seen


def play(scenario: Awaitable[None]) -> None:
    async def run() -> None:
        await scenario

    asyncio.run(run())


def test_a_command_gets_the_servers_folder_and_steps_back_for_it(tmp_path: Path) -> None:
    script = """
import json, os, sys
print(json.dumps({"done": 1, "total": 2}))
print(json.dumps({"position": os.nice(0), "what": " ".join(sys.argv[1:])}))
print(json.dumps({"events": 5}))
sys.exit(1)
"""

    async def scenario() -> None:
        node = Node(tmp_path, script)
        seen = await verified(node)
        (finding,) = seen.findings
        assert finding.what == f"audit verify --progress --json --data-dir {tmp_path}"
        assert finding.position == os.nice(0) + 10
        assert (seen.state, seen.checked, seen.total, seen.error) == ("failed", 5, 5, None)
        assert seen.started_at is not None
        assert seen.ended_at is not None
        assert seen.started_at <= seen.ended_at <= datetime.now(UTC)

    play(scenario())


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("import sys; print('dabir: the disk is full.', file=sys.stderr); sys.exit(3)", "the disk"),
        ("import sys; sys.exit(3)", "It was broken off."),
        ("print('no JSON')", "It was broken off."),
    ],
)
def test_a_verification_that_breaks_off_has_failed(tmp_path: Path, script: str, error: str) -> None:
    async def scenario() -> None:
        node = Node(tmp_path, script)
        seen = await verified(node)
        assert seen.state == "failed"
        assert seen.error is not None
        assert seen.error.startswith(error)
        assert len(node.faults) == (1 if "JSON" in script else 0)
        assert (await verified(node)).state == "failed"

    play(scenario())


def test_only_some_findings_are_kept(tmp_path: Path) -> None:
    script = 'for n in range(300): print(\'{"position": %d, "what": "changed"}\' % n)'

    async def scenario() -> None:
        seen = await verified(Node(tmp_path, script))
        assert (len(seen.findings), seen.findings_total) == (FINDINGS_KEPT, 300)

    play(scenario())


WAITS = 'import time; print(\'{"done": 3, "total": 9}\', flush=True); time.sleep(600)'


def test_one_at_a_time_and_none_outlives_its_node(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = Node(tmp_path, WAITS)
        await node.verifications.start()
        with pytest.raises(AlreadyRunning):
            await node.verifications.start()
        async with asyncio.timeout(DEADLINE):
            while node.verifications.latest().checked != 3:  # noqa: ASYNC110 - from a pipe
                await asyncio.sleep(0.01)
        await node.verifications.close()
        seen = node.verifications.latest()
        assert (seen.state, seen.total, seen.error) == ("failed", 9, "It was broken off.")
        assert node.faults == []

    play(scenario())


def test_a_rebuild_that_ended_says_how_fast_it_was(tmp_path: Path) -> None:
    script = (
        'print(\'{"generation": "8", "position": 100, "events": 90, "seconds": 0.5}\')'
        "\nimport sys; assert sys.argv[1:3] == ['projections', 'rebuild']"
    )

    async def scenario() -> None:
        node = Node(tmp_path, script)
        assert await node.builds.latest() == Rebuild(state="none")
        await node.builds.start()
        seen = await ended(node.builds.latest)
        assert (seen.state, seen.generation, seen.position) == ("ok", "8", 100)
        assert (seen.events_per_second, seen.error) == (180, None)

    play(scenario())


def test_a_build_of_another_node_is_seen_and_not_doubled(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = Node(tmp_path, WAITS)
        node.builds_elsewhere("running")
        seen = await node.builds.latest()
        assert (seen.state, seen.generation, seen.position, seen.target) == ("running", "7", 30, 90)
        with pytest.raises(AlreadyRunning):
            await node.builds.start()
        names = [(each.name, each.state) for each in (await node.builds.state()).generations]
        assert names == [("6", "live"), ("7", "running")]

    play(scenario())


def test_how_far_a_rebuild_is_does_not_fall_back_at_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = Node(tmp_path, WAITS)
        await node.builds.start()
        node.builds_elsewhere("running")
        under_way = await node.builds.latest()
        assert (under_way.generation, under_way.position, under_way.target) == ("7", 30, 90)
        assert under_way.started_at is not None
        node.build = None
        assert await node.builds.latest() == under_way
        await node.builds.close()
        assert (await node.builds.latest()).state == "failed"

    play(scenario())


def test_a_build_that_was_broken_off_is_gone_on_with(tmp_path: Path) -> None:
    script = "import sys; print('dabir: it is', sys.argv[2], file=sys.stderr); sys.exit(1)"

    async def scenario() -> None:
        node = Node(tmp_path, script)
        node.builds_elsewhere("broken off")
        assert (await node.builds.latest()).state == "broken off"
        await node.builds.start()
        seen = await ended(node.builds.latest)
        assert (seen.state, seen.error, seen.generation) == ("failed", "it is resume", "7")

    play(scenario())


def test_a_program_is_told_how_far_a_command_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    time = 0.0
    monkeypatch.setattr("time.monotonic", lambda: time)
    with output.progress("verifying", lines=True) as advance:
        for done in range(1, 12):
            time = done / 10
            advance(done, 11 if done == 1 else None)
    told = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [{"done": done, "total": 11} for done in (1, 6, 11)]
