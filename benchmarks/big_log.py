"""A long log of what people do: `python -m benchmarks.big_log PATH --events N [--seed S]`.

The aggregates decide each event, as they do for commands, and the store appends them, many people
at once. Chats have from one message to some hundred; there are users and visitors, English and
Persian, edits, regenerations, stops, failures, renames, claims and deletions. The same seed makes
the same people; in which order their appends meet in the log is left to the machine.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from uuid import UUID

from application.ports import Append, Meta
from domain.chat import STOPPED, Chat, MessageUsage, Parameters
from domain.usage import Consumption, Price, Quote, Usage
from infrastructure.event_store.store import SqlEventStore
from infrastructure.system import SystemClock

AT_ONCE = 256
"""People whose appends may wait for the log at the same time."""

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MODELS = ("small", "large")
PRICE = Price(150_000_000, 600_000_000, "benchmark")
QUOTE = Quote("small", PRICE, 200, 100)
USED = Consumption("small", PRICE, 200, 50, False)
USAGE = MessageUsage(200, 50, 60_000, "USD", False, "benchmark")
PARAMETERS = Parameters(max_tokens=100)

VOCABULARY = 8000
ENGLISH = (["a", "e", "i", "o", "u", "ou", "ea", "ai"], [*"bcdfghlmnprstw", "th", "st", "tr"])
PERSIAN = (["ا", "و", "ی", ""], [*"بپتجچخدرزسشفکگلمنه"])


class Language:
    """Made-up words, of which few are used often and many seldom, as in any language."""

    def __init__(self, syllables: tuple[list[str], list[str]], draw: random.Random) -> None:
        vowels, consonants = syllables
        words: dict[str, None] = {}
        while len(words) < VOCABULARY:
            parts = draw.choices((1, 2, 3, 4), (2, 4, 4, 2))[0]
            word = "".join(draw.choice(consonants) + draw.choice(vowels) for _ in range(parts))
            words[word + draw.choice(["", draw.choice(consonants)])] = None
        # The first ones are the shortest, as people have it.
        self._words = sorted(words, key=len)
        self._often = list(accumulate(1 / (rank + 3) for rank in range(VOCABULARY)))
        self._draw = draw

    def text(self, typical: float, spread: float) -> str:
        """About `typical` words, seldom many times as many."""
        count = max(1, min(4000, round(self._draw.lognormvariate(0, spread) * typical)))
        words = self._draw.choices(self._words, cum_weights=self._often, k=count)
        words[11::12] = [f"{word}." for word in words[11::12]]
        return " ".join(words)

    def question(self) -> str:
        return self.text(12, 1.0)

    def answer(self) -> str:
        return self.text(110, 0.8)


class Person:
    """Goes through some chats. Each step is an append's aggregates, their events pending."""

    def __init__(self, draw: random.Random, language: Language) -> None:
        self._draw = draw
        self._language = language
        self._time = BEGIN + timedelta(seconds=draw.uniform(0, 86400 * 200))
        self._visitor = draw.random() < 0.3
        self._account = self._open("anonymous" if self._visitor else "user")

    def steps(self) -> Iterator[list[Chat | Usage]]:
        yield [self._account]
        chats: list[Chat] = []
        for _ in range(self._draw.randint(1, 12)):
            chat = Chat.start(self._id(), self._account.id, None, None, self._later(3600))
            chats.append(chat)
            for _ in range(max(1, min(150, round(self._draw.lognormvariate(1.2, 1.0))))):
                yield from self._turn(chat)
            yield from self._afterwards(chat)
        if self._visitor and self._draw.random() < 0.2:
            yield from self._sign_in(chats)

    def _turn(self, chat: Chat) -> Iterator[list[Chat | Usage]]:
        asked, users = self._id(), _of_role(chat, "user")
        edited = self._draw.choice(users) if users and self._chance(0.04) else None
        title = self._language.text(4, 0.3)
        question = self._language.question()
        chat.send(asked, question, self._later(120), edit_of=edited, title=title)
        reply_id = self._id()
        chat.start_reply(
            reply_id, self._id(), asked, self._model(), self._account.id, PARAMETERS, self._time
        )
        yield from self._reply(chat, reply_id)
        answers = _of_role(chat, "assistant")
        if self._chance(0.08):
            reply_id, replaced = self._id(), self._draw.choice(answers[-3:])
            chat.regenerate(
                reply_id,
                self._id(),
                replaced,
                self._model(),
                self._account.id,
                PARAMETERS,
                self._later(30),
            )
            yield from self._reply(chat, reply_id)
            if self._chance(0.3):
                chat.select_branch(replaced, self._later(30))
                yield [chat]

    def _reply(self, chat: Chat, reply_id: UUID) -> Iterator[list[Chat | Usage]]:
        account = self._account
        if account.state.kind == "user":
            account.hold_amount(reply_id, chat.id, 10**6, QUOTE, self._time)
        else:
            ends = self._time + timedelta(hours=24)
            account.hold_allowance(reply_id, chat.id, 10**6, QUOTE, 10**6, ends, self._time)
        yield [chat, account]
        text, how = self._language.answer(), self._draw.random()
        at = self._later(20)
        if how < 0.92:
            reasoning = self._language.answer() if self._chance(0.05) else None
            chat.complete_reply(reply_id, text, reasoning, self._model(), "stop", USAGE, at)
        elif how < 0.95:
            chat.request_stop(reply_id, at)
            yield [chat]
            text = text[: len(text) // 3]
            chat.complete_reply(reply_id, text, None, "small", STOPPED, USAGE, self._later(1))
        elif how < 0.98:
            chat.fail_reply(reply_id, "PROVIDER_ERROR", "", None, None, at)
            account.release(reply_id, chat.id, "no-output", at)
        else:
            chat.interrupt_reply(reply_id, text[: len(text) // 2], None, USAGE, at)
        if reply_id in account.state.holds:
            account.settle(reply_id, chat.id, USED, self._time)
        yield [chat, account]

    def _afterwards(self, chat: Chat) -> Iterator[list[Chat | Usage]]:
        if self._chance(0.1):
            chat.rename(self._language.text(4, 0.3), self._later(60))
            yield [chat]
        if self._chance(0.08):
            chat.set_archived(True, self._later(3600))
            yield [chat]
        if self._chance(0.05):
            chat.delete(self._later(3600))
            yield [chat]

    def _sign_in(self, chats: list[Chat]) -> Iterator[list[Chat | Usage]]:
        account = self._open("user")
        yield [account]
        for chat in chats:
            if not chat.state.deleted:
                chat.claim(account.id, self._later(1))
                yield [chat]

    def _open(self, kind: str) -> Usage:
        account = Usage.open(self._id(), kind, "USD", self._later(60))  # type: ignore[arg-type]
        if kind == "user":
            account.top_up(10**15, "operator", f"invoice-{account.id.hex[:8]}", self._time)
        return account

    def _id(self) -> UUID:
        """In the order of time, as the service's own are."""
        stamp = int(self._time.timestamp() * 1000) << 80
        return UUID(int=stamp | 7 << 76 | 2 << 62 | self._draw.getrandbits(62))

    def _later(self, at_most: float) -> datetime:
        self._time += timedelta(seconds=round(self._draw.uniform(0.001, at_most), 6))
        return self._time

    def _model(self) -> str:
        return self._draw.choice(MODELS)

    def _chance(self, of: float) -> bool:
        return self._draw.random() < of


def _of_role(chat: Chat, role: str) -> list[UUID]:
    return [message for message, node in chat.state.messages.items() if node.role == role]


def _under_way(aggregate: Chat | Usage) -> bool:
    return isinstance(aggregate, Chat) and aggregate.state.reply is not None


async def fill(store: SqlEventStore, events: int, seed: int = 1) -> None:
    """Append at least so many events; everybody comes to the end of what they began."""
    draw = random.Random(seed)
    languages = (Language(ENGLISH, draw), Language(PERSIAN, draw))
    position = 0

    async def live() -> None:
        nonlocal position
        while position < events:
            person = Person(random.Random(draw.getrandbits(64)), draw.choice(languages))
            for step in person.steps():
                meta = Meta(UUID(int=draw.getrandbits(128), version=4), actor=step[0].id)
                if step[0].pending_events or step[-1].pending_events:
                    position = max(position, await store.append(Append(aggregates=step, meta=meta)))
                if position >= events and not any(_under_way(each) for each in step):
                    return

    await asyncio.gather(*(live() for _ in range(max(1, min(AT_ONCE, events // 500)))))


async def make(path: Path, events: int, seed: int) -> int:
    """Make the log at a path that holds none; returns its length."""
    store = await SqlEventStore.open(f"sqlite:///{path}", clock=SystemClock())
    try:
        await fill(store, events, seed)
        return await store.head()
    finally:
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    given.path.parent.mkdir(parents=True, exist_ok=True)
    if given.path.exists():
        parser.error(f"{given.path} exists already")
    began = time.perf_counter()
    head = asyncio.run(make(given.path.absolute(), given.events, given.seed))
    took = time.perf_counter() - began
    print(f"{head} events in {took:.0f} s, {given.path.stat().st_size / head:.0f} bytes each")


if __name__ == "__main__":
    main()
