"""Another process on the same log, as an operator's command is.

`python -m tests.event_store.other_process URL CHAT_ID COUNT` renames the chat and appends COUNT
new ones, and prints the position of each as it is answered.
"""

import asyncio
import sys
from uuid import UUID

from domain.chat import Chat
from tests.event_store.given import NOW, append_of, new_chat, opened


async def act(url: str, chat_id: UUID, count: int) -> None:
    async with opened(url) as store:
        chat = await store.load(Chat, chat_id)
        chat.rename("From elsewhere", NOW)
        await store.append(append_of(chat))
        for _ in range(count):
            print(await store.append(append_of(new_chat())), flush=True)


if __name__ == "__main__":
    asyncio.run(act(sys.argv[1], UUID(sys.argv[2]), int(sys.argv[3])))
