"""One run: its plan carried out against the server, and then every promise checked."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp

from tests.faults import invariants
from tests.faults.connections import attaching
from tests.faults.devices import Hands
from tests.faults.people import Seen, people_of
from tests.faults.plan import Fault, Plan, Storm
from tests.faults.plan import Reading as ReadingPlan
from tests.faults.reading import BrokenPromiseError
from tests.faults.sockets import Socket
from tests.faults.world import World
from tests.service import bearer

ENDS_WITHIN = 90.0
SETTLES_WITHIN = 20.0


class Report:
    """What a run came to. `lost`: seconds of text that a crash took, at most."""

    def __init__(self, seen: Seen, lost: float) -> None:
        self.counts = seen.counts
        self.lost = lost


async def run(plan: Plan, world: World, life: str) -> Report:
    """Raises BrokenPromiseError, or whatever else went wrong."""
    seen = Seen(people_of(plan.seed, life))
    downs_before = len(world.downs)
    visitor = seen.people["visitor"]
    async with asyncio.timeout(ENDS_WITHIN), AsyncExitStack() as closing:
        client = await closing.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
        )
        sockets = {}
        for name in sorted({device.person for device in plan.devices}):
            person = seen.people[name]
            socket = Socket(world, person, visitor.sub, plan.fault is not None)
            sockets[name] = await closing.enter_async_context(socket)
        await world.ready.wait()
        async with asyncio.TaskGroup() as tasks:
            hands = Hands(world, client, seen, sockets, plan.fault is not None, tasks)
            for number, device in enumerate(plan.devices):
                tasks.create_task(hands.carry_out(device, number))
            if plan.fault is not None:
                tasks.create_task(_suffer(world, plan.fault, sockets))
        await _settled(world, seen)
        await _read_once_more(hands, seen)
        for socket in sockets.values():
            await socket.agrees()
        told = await _told(world, seen)
        downs = world.downs[downs_before:]
        invariants.check_log(seen, told, world.upstream.calls_of)
        invariants.check_outcomes(seen, told, bool(downs))
        # A node that is too slow for its lease is taken for dead.
        may_lose = bool(downs) or isinstance(plan.fault, Storm)
        lost = invariants.check_readings(seen, told, may_lose)
        operator = bearer("operator", "dabir:admin")
        for person in seen.people.values():
            url = f"{world.url}/api/v1/admin/usage/{person.written}"
            async with client.get(url, headers=operator) as answer:
                invariants.check_account(person, told, await answer.json())
    if world.faults():
        raise BrokenPromiseError("the server logged a fault of its own")
    return Report(seen, lost)


async def _suffer(world: World, fault: Fault | Storm, sockets: dict[str, Socket]) -> None:
    await world.suffer(fault)
    for socket in sockets.values():
        await socket.reconnect()


async def _settled(world: World, seen: Seen) -> None:
    """Returns when nobody of the run has a reply under way any more."""
    names = [person.sub for person in seen.people.values()]
    query = (
        "SELECT count(*) FROM open_replies JOIN principals ON principals.id = payer"
        f" WHERE name IN ({', '.join('?' for _ in names)})"
    )
    deadline = asyncio.get_running_loop().time() + SETTLES_WITHIN
    while (left := world.rows(query, *names)) != [(0,)]:
        if asyncio.get_running_loop().time() > deadline:
            raise BrokenPromiseError(f"{left[0][0]} replies never ended")
        await asyncio.sleep(0.02)


async def _told(world: World, seen: Seen) -> invariants.Told:
    """The log's part. A request that was cut off unanswered may begin its reply only now."""
    while True:
        await _settled(world, seen)
        told = invariants.Told(world, seen, await world.streams())
        if not seen.unanswered or all(ended.ends for ended in told.replies.values()):
            return told
        await asyncio.sleep(0.02)


async def _read_once_more(hands: Hands, seen: Seen) -> None:
    """Every reply from its beginning, after its end."""
    readings = []
    for person in seen.people.values():
        for known in person.replies:
            request = attaching(person, known.reply_id, known.chat_id, known.token, "stream_token")
            readings.append(hands.follower(person).attach(request, known.chat_id, ReadingPlan()))
    for reading in await asyncio.gather(*readings):
        if reading is None or not reading.whole:
            raise BrokenPromiseError("a reply that has ended cannot be read")
