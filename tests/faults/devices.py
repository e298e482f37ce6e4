"""Carries out a device's steps."""

import asyncio
from typing import Any

import aiohttp

from tests.faults.connections import (
    GIVEN_UP,
    GONE,
    PASSING,
    Follower,
    attaching,
)
from tests.faults.people import Known, Person, Seen, Sent
from tests.faults.plan import (
    Action,
    Change,
    Claim,
    Device,
    Follow,
    Regenerate,
    Repeat,
    Send,
    Stop,
)
from tests.faults.plan import Reading as ReadingPlan
from tests.faults.reading import BrokenPromiseError
from tests.faults.sockets import Socket
from tests.faults.world import World

WORDS = ("سلام", "دنیا", "scribe", "naïve", "👩‍🚀", "line\u2028sep", "two\nlines", "\r\n")


class Hands:
    """What a run's devices do things with."""

    def __init__(
        self,
        world: World,
        client: aiohttp.ClientSession,
        seen: Seen,
        sockets: dict[str, Socket],
        goes_down: bool,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._world = world
        self._client = client
        self._seen = seen
        self._sockets = sockets
        self._goes_down = goes_down
        self._tasks = tasks

    async def carry_out(self, device: Device, number: int) -> None:
        person = self._seen.people[device.person]
        for count, step in enumerate(device.steps):
            await asyncio.sleep(step.pause)
            marker = f"{person.sub}-{number}-{count}"
            doing = self._do(person, step.action, marker)
            if step.waits:
                await doing
            else:
                self._tasks.create_task(doing)
                await asyncio.sleep(0.005)

    def follower(self, person: Person) -> Follower:
        return Follower(self._world, self._client, self._seen, person, self._goes_down)

    async def _do(self, person: Person, action: Action, marker: str) -> None:
        self._seen.counts[type(action).__name__.lower()] += 1
        match action:
            case Send():
                await self._send(person, action, marker)
            case Regenerate():
                await self._regenerate(person, action, marker)
            case Repeat():
                if person.keyed:
                    sent = person.keyed[action.pick % len(person.keyed)]
                    await self.follower(person).send(sent, action.reading)
            case Follow():
                known = _picked(person.replies, action.pick)
                if known:
                    request = attaching(
                        person, known.reply_id, known.chat_id, known.token, action.by
                    )
                    await self.follower(person).attach(request, known.chat_id, action.reading)
            case Stop():
                await self._stop(person, action)
            case Change():
                await self._change(person, action)
            case Claim():
                await self._claim(person)

    async def _send(self, person: Person, action: Send, marker: str) -> None:
        words = " ".join(WORDS[n % len(WORDS)] for n in range(action.words))
        content = f"{marker} [[{action.script}]] {words}".rstrip()
        body: dict[str, Any] = {"content": content, "model": "paid"}
        if action.max_tokens is not None:
            body["max_tokens"] = action.max_tokens
        if action.chat is not None and person.chats:
            body["chat_id"] = chat_id = _picked(person.chats, action.chat)
            places = person.messages.get(str(chat_id))
            if places and action.place == "edit":
                body["edit_of"] = places[action.pick % len(places)][0]
            elif places and action.place == "branch":
                body["parent_id"] = places[action.pick % len(places)][1]
        headers = dict(person.headers)
        if action.key == "header":
            headers["idempotency-key"] = marker
        elif action.key == "body":
            body["client_message_id"] = marker
        key = marker if action.key else None
        sent = Sent("send", body, headers, key, marker, action.script, content)
        self._seen.sent[marker] = sent
        await self._start(person, sent, action.twins, action.reading)

    async def _regenerate(self, person: Person, action: Regenerate, marker: str) -> None:
        """Of the chat's last answer, under the same script as the message it answers."""
        chat_id = _picked(person.chats, action.chat)
        if chat_id is None or not person.messages.get(chat_id):
            return
        headers = person.headers | ({"idempotency-key": marker} if action.key else {})
        body = {"chat_id": chat_id, "model": "paid"}
        key = marker if action.key else None
        sent = Sent("regenerate", body, headers, key, marker, "", "")
        await self._start(person, sent, action.twins, action.reading)

    async def _start(self, person: Person, sent: Sent, twins: int, reading: ReadingPlan) -> None:
        if sent.key is not None:
            person.keyed.append(sent)
        else:
            twins = 1  # without a key they would be other messages
        await asyncio.gather(*(self.follower(person).send(sent, reading) for _ in range(twins)))

    async def _stop(self, person: Person, action: Stop) -> None:
        under_way = [k for k in person.replies if k.reply_id not in self._seen.ended]
        known: Known | None = _picked(under_way or person.replies, action.pick)
        if known is None:
            return
        body = {"reply_id": known.reply_id}
        if action.by == "chat_id":
            body = {"chat_id": known.chat_id}
        elif action.by == "client_message_id" and known.sent.route == "send" and known.sent.key:
            body = {"client_message_id": known.sent.key}
        url = f"{self._world.url}/api/v1/messages/stop"
        try:
            async with self._client.post(url, json=body, headers=person.headers) as answer:
                told = await answer.json(content_type=None)
        except GONE:
            if not self._goes_down:
                raise
            return
        if answer.status == 202:
            self._seen.counts["stopping" if told["stopping"] else "stopped too late"] += 1
        elif told.get("code") in PASSING and self._goes_down:
            self._seen.counts["stop refused"] += 1
        elif told.get("code") not in GIVEN_UP or not self._seen.may_be_gone(person, known.chat_id):
            raise BrokenPromiseError(f"stop by {action.by}: {answer.status} {told}")

    async def _change(self, person: Person, action: Change) -> None:
        chat_id = _picked(person.chats, action.chat)
        if chat_id is None:
            return
        more: dict[str, Any]
        match action.kind:
            case "rename":
                request, more = "rename_chat", {"title": f"title {action.pick}"}
            case "archive":
                request, more = "archive_chat", {"archived": bool(action.pick % 3)}
            case "delete":
                request, more = "delete_chat", {}
                self._seen.given_up.add(chat_id)
            case "select":
                places = person.messages.get(chat_id)
                if not places:
                    return
                user, assistant = places[action.pick % len(places)]
                message = assistant if action.pick % 2 else user
                request, more = "select_branch", {"message_id": message}
        answer = await self._sockets[person.name].ask(request, {"chat_id": chat_id, **more})
        self._check(person, answer, request, chat_id)

    async def _claim(self, person: Person) -> None:
        visitor = self._seen.people["visitor"]
        if not person.is_user:
            return
        self._seen.claimed = True
        answer = await self._sockets[person.name].ask("claim_anonymous", {"anon_id": visitor.sub})
        if answer is None:
            return
        self._check(person, answer, "claim_anonymous", None)
        person.chats += answer.get("chat_ids", [])

    def _check(self, person: Person, answer: Any, request: str, chat_id: str | None) -> None:
        error = (answer or {}).get("error")
        if error is None:
            return
        if error["code"] in GIVEN_UP and self._seen.may_be_gone(person, chat_id):
            return
        if error["code"] in PASSING and self._goes_down:
            return
        raise BrokenPromiseError(f"{request} was refused: {error}")


def _picked(those: list[Any], pick: int) -> Any:
    return those[pick % len(those)] if those else None
