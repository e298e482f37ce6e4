"""The generations of the views, and building one anew by `dabir projections rebuild`."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from application.console.answers import GenerationState, ProjectionsState, Rebuild, SetAside
from application.console.ports import AlreadyRunning, Blocking
from application.ports import Clock
from application.projections import Rebuilt, ViewsStatus
from infrastructure.console.commands import OperatorCommands, RunningCommand
from infrastructure.console.followed import FollowedCommand, Observer

BROKEN_OFF = "It was broken off."


class ViewRebuilds:
    """Implements `application.console.ports.ViewBuilds`."""

    def __init__(
        self,
        commands: OperatorCommands,
        status: Callable[[], ViewsStatus],
        threads: Blocking,
        clock: Clock,
        observer: Observer,
    ) -> None:
        """`status` blocks. It tells of builds that other processes began, on any node."""
        self._command = FollowedCommand("rebuild", commands, observer)
        self._status = status
        self._threads = threads
        self._clock = clock
        self._own = Rebuild(state="none")

    async def state(self) -> ProjectionsState:
        status = await self._threads.run(self._status)
        return ProjectionsState(
            code_version=status.code_version,
            head=status.head,
            lag=status.lag,
            kept_up=status.server,
            runner=status.runner,
            generations=_generations(status),
            set_aside=[
                SetAside(view=e.view, stream=e.stream_id, position=e.position, error=e.error)
                for e in status.set_aside
            ],
        )

    async def start(self) -> Rebuild:
        self._command.require_none()
        build = (await self._threads.run(self._status)).build
        if build is not None and build.state == "running":
            raise AlreadyRunning("A rebuild is under way.")
        words = ("projections", "rebuild" if build is None else "resume")
        await self._command.start(words, self._follow)
        self._own = Rebuild(state="running", started_at=self._clock.now())
        return self._own

    async def latest(self) -> Rebuild:
        build = (await self._threads.run(self._status)).build
        own = self._own
        if build is None:
            # Also while one that is live already waits for the last reader of the old one.
            return own
        place: dict[str, Any] = {
            "generation": build.generation,
            "position": build.position,
            "target": build.head,
        }
        if own.state == "running":
            rate = _rate(build.position, own.started_at, self._clock.now())
            self._own = msgspec.structs.replace(own, **place, events_per_second=rate)
            return self._own
        if own.state == "failed" and build.state != "running":
            return msgspec.structs.replace(own, **place)
        return Rebuild(state="running" if build.state == "running" else "broken off", **place)

    async def close(self) -> None:
        await self._command.close()

    async def _follow(self, command: RunningCommand) -> None:
        ended: dict[str, Any] = {"state": "failed", "error": BROKEN_OFF}
        try:
            said = [line async for line in command.objects()]
            code, complaint = await command.end()
            if code == 0:
                ended = _success(msgspec.json.decode(said[-1], type=Rebuilt))
            elif complaint:
                ended["error"] = complaint
        finally:
            self._own = msgspec.structs.replace(self._own, ended_at=self._clock.now(), **ended)


def _success(rebuilt: Rebuilt) -> dict[str, Any]:
    return {
        "state": "ok",
        "generation": rebuilt.generation,
        "position": rebuilt.position,
        "target": rebuilt.position,
        "events_per_second": rebuilt.events / rebuilt.seconds if rebuilt.seconds else None,
    }


def _rate(position: int, since: datetime | None, now: datetime) -> float | None:
    """Events a second, its start included."""
    seconds = (now - since).total_seconds() if since else 0.0
    return position / seconds if seconds > 0 else None


def _generations(status: ViewsStatus) -> list[GenerationState]:
    generations = []
    if status.generation is not None:
        generations.append(
            GenerationState(
                name=status.generation,
                state="live",
                position=status.position,
                target=status.head,
                bytes=status.bytes,
            )
        )
    if (build := status.build) is not None:
        generations.append(
            GenerationState(
                name=build.generation,
                state=build.state,
                position=build.position,
                target=build.head,
                bytes=build.bytes,
            )
        )
    return generations
