"""A chat of a thousand messages, written straight into the log of a server that is yet to start."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from application.ports import Append, Meta
from domain.chat import Chat, Parameters
from infrastructure.event_store.store import SqlEventStore
from infrastructure.system import SystemClock

MESSAGES = 1000
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)

QUESTION = "What came after line {number} of the ledger?"
ANSWER = """Line **{number}** was followed by *three* entries:

1. A message, as it was written.
2. An answer, as it was given.
3. What it cost: `0.0{number}`.

```python
def line(number: int) -> str:
    return ledger[number]
```
"""


def write_long_chat(data_dir: Path, sub: str) -> UUID:
    """The chat's id. It belongs to `user:SUB`."""
    data_dir.mkdir(mode=0o700, parents=True)
    url = f"sqlite:///{data_dir / 'events.db'}"
    # In a thread: this one has the browser's event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _write(url, sub)).result()


async def _write(url: str, sub: str) -> UUID:
    store = await SqlEventStore.open(url, clock=SystemClock())
    try:
        parameters = Parameters(max_tokens=9)
        owner = await store.principals.resolve("user", sub)
        chat = Chat.start(uuid4(), owner.id, "A thousand messages", "free", BEGAN)
        for number in range(MESSAGES // 2):
            at = BEGAN + timedelta(minutes=number)
            question, answer, reply = uuid4(), uuid4(), uuid4()
            chat.send(question, QUESTION.format(number=number), at)
            chat.start_reply(reply, answer, question, "free", owner.id, parameters, at)
            text = ANSWER.format(number=number)
            chat.complete_reply(reply, text, None, "free", "stop", None, at)
        await store.append(Append(aggregates=[chat], meta=Meta(uuid4())))
        return chat.id
    finally:
        await store.close()
