"""Verifying the live log by `dabir audit verify`, and how far that is."""

from typing import Any

import msgspec

from application.console.answers import Finding, Verification
from application.ports import Clock
from infrastructure.console.commands import OperatorCommands, RunningCommand
from infrastructure.console.followed import FollowedCommand, Observer

FINDINGS_KEPT = 100

SOUND, FAULTS_FOUND = 0, 1
"""Exit codes of a command that came to its end."""

BROKEN_OFF = "It was broken off."


class _Said(msgspec.Struct):
    """An object that the command prints: how far it is, or a fault; the last one has neither."""

    done: int | None = None
    total: int | None = None
    position: int | None = None
    what: str | None = None
    events: int | None = None


class LogVerifications:
    """Implements `application.console.ports.Verifications`."""

    def __init__(self, commands: OperatorCommands, clock: Clock, observer: Observer) -> None:
        self._command = FollowedCommand("verification", commands, observer)
        self._clock = clock
        self._latest = Verification(state="none")

    def latest(self) -> Verification:
        return self._latest

    async def start(self) -> Verification:
        await self._command.start(("audit", "verify", "--progress"), self._follow)
        self._latest = Verification(state="running", started_at=self._clock.now())
        return self._latest

    async def close(self) -> None:
        await self._command.close()

    async def _follow(self, command: RunningCommand) -> None:
        error: str | None = BROKEN_OFF
        try:
            async for line in command.objects():
                self._note(msgspec.json.decode(line, type=_Said))
            code, complaint = await command.end()
            error = None if code in (SOUND, FAULTS_FOUND) else complaint or BROKEN_OFF
        finally:
            failed = error is not None or self._latest.findings_total > 0
            self._change(
                state="failed" if failed else "ok", error=error, ended_at=self._clock.now()
            )

    def _note(self, said: _Said) -> None:
        if said.what is not None:
            kept = self._latest.findings
            if len(kept) < FINDINGS_KEPT:
                kept = [*kept, Finding(said.position, said.what)]
            self._change(findings=kept, findings_total=self._latest.findings_total + 1)
        elif said.done is not None:
            self._change(checked=said.done, total=said.total)
        else:
            self._change(checked=said.events, total=said.events)

    def _change(self, **changes: Any) -> None:
        self._latest = msgspec.structs.replace(self._latest, **changes)
