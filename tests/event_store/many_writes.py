"""A process that appends alone: `python -m tests.event_store.many_writes URL COUNT`."""

import asyncio
import sys

from tests.event_store.given import append_of, new_chat, opened


async def write(url: str, count: int) -> None:
    async with opened(url) as store:
        for _ in range(count // 4):
            # Some of them share a batch.
            await asyncio.gather(*(store.append(append_of(new_chat())) for _ in range(4)))


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], int(sys.argv[2])))
