"""Three nodes on one PostgreSQL and one Valkey, and all that can happen to them."""

import asyncio
import json
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from sqlalchemy import make_url

from infrastructure.event_store.store import SqlEventStore
from infrastructure.system import SystemClock
from tests.engines import Postgres, Valkey
from tests.faults.plan import Blow, Fault, Storm
from tests.faults.world import ENVIRON, MarkedUpstream, World, becomes_ready
from tests.service import Service
from tests.wire import Wire

NODES = 3
LEASE = 2.0
"""Seconds. Short, so that a node which is away for a while loses it."""

AWAY = ("OperationalError", "InterfaceError", "LeaseLost", "ViewsBehind", "TimeoutError")
"""What a node may call a fault while its database is out of reach, or others took it for dead."""


class Nodes(World):
    """`url` is that of a node that serves, another one each time, as behind a load balancer."""

    def __init__(
        self, folder: Path, upstream: MarkedUpstream, postgres: Postgres, valkey: Valkey
    ) -> None:
        super().__init__(folder, upstream)
        self._postgres = postgres
        self._valkey = valkey
        self.database = postgres.create()
        self._dice = Random(0)
        self._wires = [Wire(postgres.target) for _ in range(NODES)]
        self._services: list[Service] = []
        self._serving: list[Service] = []

    @property
    def url(self) -> str:
        return self._dice.choice(self._serving or self._services).url

    def url_of(self, number: int) -> str:
        """That of one node; `number` is taken modulo those that serve."""
        return self._serving[number % len(self._serving)].url

    async def __aenter__(self) -> "Nodes":
        for number, wire in enumerate(self._wires):
            wire.__enter__()
            address = make_url(self.database).set(host="127.0.0.1", port=wire.port, query={})
            self._services.append(
                Service(
                    self.data_dir.with_name(f"node-{number}"),
                    self.upstream.api_base,
                    environ=ENVIRON
                    | {
                        "DABIR_DATABASE_URL": address.render_as_string(hide_password=False),
                        "DABIR_VALKEY_URL": self._valkey.url,
                        "DABIR_SECRET": "the secret that all nodes of a test share",
                        "DABIR_LEASE": f"{LEASE:g}s",
                    },
                )
            )
        self.data_dir.parent.mkdir(exist_ok=True)
        await asyncio.gather(*(self._start(service) for service in self._services))
        self._log = await SqlEventStore.open(self.database, clock=SystemClock())
        return self

    async def __aexit__(self, *_: object) -> None:
        for service in self._serving:
            await asyncio.to_thread(service.kill)
        if self._log is not None:
            await self._log.close()
        for wire in self._wires:
            wire.__exit__(None, None, None)
        self._postgres.drop(self.database)

    async def suffer(self, fault: Fault | Storm) -> None:
        assert isinstance(fault, Storm)
        self._dice = Random(fault.seed)
        began = time.monotonic()
        for blow in fault.blows:
            await asyncio.sleep(max(0.0, began + blow.at - time.monotonic()))
            await self._strike(blow)

    async def _strike(self, blow: Blow) -> None:
        service = self._services[blow.node]
        match blow.kind:
            case "kill":
                self._leave(service)
                await asyncio.to_thread(service.kill)
                self.downs.append(time.monotonic())
                await self._start(service)
            case "drain":
                self._leave(service)
                code = await asyncio.to_thread(service.stop)
                self.downs.append(time.monotonic())
                assert code == 0, f"exit code {code}"
                await self._start(service)
            case "pause":
                self._leave(service)
                service.signal(signal.SIGSTOP)
                self.downs.append(time.monotonic())
                await asyncio.sleep(blow.lasts)
                service.signal(signal.SIGCONT)
                await becomes_ready(service.url)
                self._serving.append(service)
            case "cut":
                self._leave(service)
                self._wires[blow.node].freeze()
                self.downs.append(time.monotonic())
                await asyncio.sleep(blow.lasts)
                self._wires[blow.node].thaw()
                await becomes_ready(service.url)
                self._serving.append(service)
            case "disconnect":
                await asyncio.to_thread(self._postgres.disconnect, self.database)
            case "valkey":
                await asyncio.to_thread(self._valkey.kill)
                await asyncio.sleep(blow.lasts)
                await asyncio.to_thread(self._valkey.restart)

    async def up_again(self) -> None:
        await asyncio.sleep(0.05)

    async def stop(self) -> None:
        serving, self._serving = self._serving, []
        codes = await asyncio.gather(*(asyncio.to_thread(each.stop) for each in serving))
        assert not any(codes), f"exit codes {codes}"

    async def _start(self, service: Service) -> None:
        await asyncio.to_thread(service.start)
        await becomes_ready(service.url)
        self._serving.append(service)
        self.up.set()
        self.ready.set()

    def _leave(self, service: Service) -> None:
        """The load balancer sends nobody there any more."""
        self._serving.remove(service)

    # What the log holds

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query.replace("?", "%s").encode(), values).fetchall()

    def faults(self) -> list[str]:
        lines = [line for service in self._services for line in list(service.log)]
        return [line for line in lines if '"level": "error"' in line and not _is_away(line)]

    def doubts_of(self, *command: str) -> str | None:
        done = self._services[0].dabir(*command)
        return None if done.returncode == 0 else f"{done.returncode} {done.stdout}{done.stderr}"

    async def differences_from_a_replay(self) -> list[str]:
        doubts = await asyncio.to_thread(self.doubts_of, "projections", "verify")
        return [doubts] if doubts else []


def _is_away(line: str) -> bool:
    told = json.loads(line)
    return any(name in str(told.get("exception", told)) for name in AWAY)
