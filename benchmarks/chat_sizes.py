"""What a send costs in a chat of 10 messages and in one of 10,000, with prompts that are alike.

    python -m benchmarks.chat_sizes [--messages 10000] [--rounds 7] [--sends 5]

A real server, a provider in another process that answers 16 tokens at once, and a model in whose
window fit what is sent, the last answer and what that was to, in either chat. In each round
`--sends` messages go to each of eight chats of one size and then of the other, after one to each
that is not counted: it reads the chat, as the first one after a start does, which is shown apart.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx

from benchmarks.load.chats import QUESTION, conversation, log_in, user, write
from benchmarks.load.contestants import UNLIMITED, provider
from benchmarks.load.processes import cpu_of
from benchmarks.results import KEEP, Result, Row, in_turn, median_ratio, report
from tests.service import Service, bearer

SHORT = 10
CHATS = 8
SUB = "writer"
CONTENT = QUESTION * 3
MODELS = """
default = "tokens-16"

[[models]]
id = "tokens-16"
litellm_model = "openai/tokens-16"
api_base = "{api_base}"
context_window = 600
max_output_tokens = 200
input_price_per_million = "0"
output_price_per_million = "0"
"""
"""An eighth of the window is left free and 200 tokens for the answer; CONTENT has 130."""


async def fill(data_dir: Path, short: int, messages: int) -> tuple[list[UUID], list[UUID]]:
    """The short chats, and the long ones."""
    store = await log_in(data_dir)
    owner = await user(store, SUB)
    shorts = [conversation(owner, SHORT) for _ in range(short)]
    longs = [conversation(owner, messages) for _ in range(CHATS)]
    await write(store, [*shorts, *longs])
    await store.close()
    return [chat.id for chat in shorts], [chat.id for chat in longs]


class Writer:
    """Sends one message after the other, each when the answer to the last one has ended."""

    def __init__(self, service: Service, client: httpx.Client) -> None:
        self._pid = service.pid
        self._url = f"{service.url}/api/v1/messages/send"
        self._client = client

    def cost(self, chats: Sequence[UUID], sends: int) -> float:
        """The server's CPU for a send, in ms."""
        before = cpu_of(self._pid)
        for _ in range(sends):
            for chat_id in chats:
                self._send(chat_id)
        return (cpu_of(self._pid) - before) / (sends * len(chats)) * 1e3

    def _send(self, chat_id: UUID) -> None:
        answer = self._client.post(self._url, json={"chat_id": str(chat_id), "content": CONTENT})
        assert b"event: assistant_complete" in answer.content, answer.text[-300:]


def main(messages: int, rounds: int, sends: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        shorts, longs = asyncio.run(fill(data_dir, CHATS * rounds, messages))
        api_base = f"http://127.0.0.1:{closing.enter_context(provider())}/v1"
        service = Service(data_dir, api_base, models=MODELS, environ=UNLIMITED, forked=False)
        # Quicker than letting the server catch up.
        built = service.dabir("projections", "rebuild", timeout=600)
        assert built.returncode == 0, built.stdout + built.stderr
        closing.enter_context(service)
        service.wait_ready()
        client = closing.enter_context(httpx.Client(headers=bearer(SUB), timeout=60))
        writer = Writer(service, client)
        first: dict[str, list[float]] = {"short": [], "long": []}
        fresh = iter([shorts[start : start + CHATS] for start in range(0, len(shorts), CHATS)])

        def measure(name: str, chats: Callable[[], Sequence[UUID]]) -> float:
            chosen = chats()
            first[name].append(writer.cost(chosen, 1))
            return writer.cost(chosen, sends)

        medians, taken = in_turn(
            rounds,
            {
                "short": partial(measure, "short", lambda: next(fresh)),
                "long": partial(measure, "long", lambda: longs),
            },
        )
    rows: list[Row] = []
    for name, size in (("short", SHORT), ("long", messages)):
        rows.append(
            {
                "messages in the chat": size,
                "CPU, ms a send": medians[name],
                "beside the short one": median_ratio(taken[name], taken["short"]),
                "CPU, ms of the first send": first[name][0],
            }
        )
    report(
        Result(
            name="chat_sizes",
            title="Sending into short and long chats",
            how=f"Medians of {rounds} rounds in turn, {sends} sends to each of {CHATS} chats. "
            "The first sends into them after a start are measured once.",
            rows=rows,
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sends", type=int, default=5)
    parser.add_argument(KEEP, action="store_true")
    given = parser.parse_args()
    main(given.messages, given.rounds, given.sends)
