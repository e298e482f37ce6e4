"""A model provider for tests: a real HTTP server that speaks OpenAI's protocol, and Anthropic's.

What it answers is named by the request's `model`, or by `[[script]]` anywhere in the last message:

    echo                    the last message again, word by word (any unknown name does this too)
    echo-at-R               R words of it a second
    tokens-N, tokens-N-at-R N tokens, all at once or R a second ("t0 t1 …"); `slow` is 200 at 20
    stall-first             takes the request and says nothing
    stall-middle            two tokens, then nothing
    gate, gate-NAME         one token, then waits for release(); then the echo
    gates-NAME              silent until NAME-1 is released, one token, then waits for NAME-2
    cut                     two tokens, then the connection is gone, without an end
    cut-clean               two tokens, then the body ends well, but without finish_reason or [DONE]
    malformed               a token, then something that is no JSON
    midstream-error         a token, then an error object in the stream
    refuse-STATUS           that HTTP status (refuse-500, refuse-401), a key in the error's text
    rate-limited-429        429
    context-too-long        400 context_length_exceeded
    context-overflow        400 exceed_context_size_error, as llama.cpp says it
    content-filter          ends at once with finish_reason content_filter
    content-filter-late     two tokens before it
    no-usage, negative-usage, absurd-usage
    surrogate               a lone surrogate, and a pair split over two chunks
    reasoning               two tokens of reasoning, then the echo

Other processes use it by HTTP: `GET /stats`, `POST /release?gate=NAME`, `POST /reset`.
Run as a process of its own: `python -m tests.upstream` prints its address.
"""

import asyncio
import json
import re
import sys
import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from aiohttp import web

SECRET = "sk-upstream-secret-0123456789"
"""What must never reach a log, a client or an exception of ours."""

Json = dict[str, Any]
Usage = tuple[int, int] | None


class Upstream:
    """`with Upstream() as upstream:` serves on a free port, in a thread, until the block ends."""

    def __init__(self) -> None:
        self.url = ""
        self._changed = threading.Condition()
        self._calls: Counter[str] = Counter()
        self._bodies: deque[Json] = deque(maxlen=200)
        self._connections: set[tuple[str, int]] = set()
        self._open = 0
        self._completed = 0
        self._closed_early = 0
        self._scripted: dict[str, Sequence[bytes]] = {}
        self._released: set[str] = set()
        self._release_all = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gates: asyncio.Condition | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def api_base(self) -> str:
        """What an OpenAI client takes for its base address."""
        return f"{self.url}/v1"

    # For the tests of this process

    def stats(self) -> Json:
        """calls, calls_by_script, connections, open, completed, closed_early. And bodies."""
        with self._changed:
            return {
                "calls": self._calls.total(),
                "calls_by_script": dict(self._calls),
                "connections": len(self._connections),
                "open": self._open,
                "completed": self._completed,
                "closed_early": self._closed_early,
                "bodies": list(self._bodies),
            }

    @property
    def calls(self) -> int:
        return int(self.stats()["calls"])

    @property
    def bodies(self) -> list[Json]:
        """The last request bodies, oldest first."""
        return list(self.stats()["bodies"])

    def wait_calls(self, count: int, timeout: float = 5.0) -> bool:
        """Whether `count` calls had come within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._calls.total() >= count, timeout)

    def wait_closed(self, count: int = 1, timeout: float = 5.0) -> bool:
        """Whether `count` clients had gone before their answer's end, and none is connected."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._closed_early >= count and not self._open, timeout
            )

    def script(self, name: str, writes: Sequence[bytes]) -> None:
        """Answer requests for the model `name` with exactly these writes."""
        self._scripted[name] = writes

    def release(self, gate: str | None = None) -> None:
        """Open a gate, or all, for those who wait and those who come."""
        self._run(self._open_gates(gate))

    def reset(self) -> None:
        """Close the gates, forget the calls. Answers under way are let be."""
        with self._changed:
            self._calls.clear()
            self._connections.clear()
            self._bodies.clear()
            self._completed = self._closed_early = 0
            self._released.clear()
            self._release_all = False

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self.serve(lambda _: started.set())), daemon=True
        )
        self._thread.start()
        if not started.wait(10):
            raise RuntimeError("the upstream did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._loop and self._stop and self._thread
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    # The server

    async def serve(self, started: Callable[[str], object]) -> None:
        """Serve on a free port; `started` is called with the address."""
        self._loop = asyncio.get_running_loop()
        self._gates = asyncio.Condition()
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat_completions),
                web.post("/chat/completions", self._chat_completions),
                web.post("/v1/messages", self._anthropic_messages),
                web.get("/stats", self._get_stats),
                web.post("/release", self._post_release),
                web.post("/reset", self._post_reset),
            ]
        )
        # A handler whose client has gone is cancelled: that is how the going is seen.
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        started(self.url)
        await self._stop.wait()
        await runner.cleanup()

    async def _get_stats(self, _: web.Request) -> web.Response:
        return web.json_response(self.stats())

    async def _post_release(self, request: web.Request) -> web.Response:
        await self._open_gates(request.query.get("gate"))
        return web.json_response({})

    async def _post_reset(self, _: web.Request) -> web.Response:
        self.reset()
        return web.json_response({})

    async def _open_gates(self, gate: str | None) -> None:
        assert self._gates
        async with self._gates:
            if gate is None:
                self._release_all = True
            else:
                self._released.add(gate)
            self._gates.notify_all()

    async def wait_gate(self, gate: str) -> None:
        assert self._gates
        async with self._gates:
            await self._gates.wait_for(lambda: self._release_all or gate in self._released)

    async def _chat_completions(self, request: web.Request) -> web.StreamResponse:
        body: Json = await request.json()
        script = self._note(body)
        if refusal := _refusal(script):
            return refusal
        return await self._counted(request, _OpenAI(request, body), script)

    async def _anthropic_messages(self, request: web.Request) -> web.StreamResponse:
        body: Json = await request.json()
        script = self._note(body)
        if refusal := _refusal(script):
            return refusal
        return await self._counted(request, _Anthropic(request, body), script)

    def _note(self, body: Json) -> str:
        marked = re.search(r"\[\[([\w.-]+)\]\]", _last_text(body))
        script = marked.group(1) if marked else str(body.get("model", ""))
        with self._changed:
            self._calls[script] += 1
            self._bodies.append(body)
            self._changed.notify_all()
        return script

    async def _counted(
        self, request: web.Request, answer: "_Answer", script: str
    ) -> web.StreamResponse:
        assert request.transport
        with self._changed:
            self._connections.add(request.transport.get_extra_info("peername"))
            self._open += 1
        whole = False
        try:
            if script != "stall-first" and not script.startswith("gates-"):
                await answer.open()
            await self._play(answer, script)
            whole = True
        finally:
            with self._changed:
                self._open -= 1
                self._completed += whole
                self._closed_early += not whole
                self._changed.notify_all()
        return answer.response

    async def _play(self, answer: "_Answer", script: str) -> None:
        if script in self._scripted:
            for piece in self._scripted[script]:
                await answer.response.write(piece)
                await asyncio.sleep(0.002)
        elif timed := re.fullmatch(r"tokens-(\d+)(?:-at-(\d+(?:\.\d+)?))?|slow", script):
            count, rate = int(timed[1] or 200), float(timed[2] or (0 if timed[1] else 20))
            await _paced(answer, [f"t{number} " for number in range(count)], rate)
        elif timed := re.fullmatch(r"echo-at-(\d+(?:\.\d+)?)", script):
            await _paced(answer, answer.words(), float(timed[1]))
        elif script == "stall-first":
            await asyncio.Event().wait()
        elif script == "stall-middle":
            await answer.text("One ", "two ")
            await asyncio.Event().wait()
        elif script == "gate" or script.startswith("gate-"):
            await answer.text("Waiting. ")
            await self.wait_gate(script.removeprefix("gate-"))
            await answer.echo()
        elif script.startswith("gates-"):
            name = script.removeprefix("gates-")
            await self.wait_gate(f"{name}-1")
            await answer.open()
            await answer.text("Waiting. ")
            await self.wait_gate(f"{name}-2")
            await answer.echo()
        elif script == "cut":
            await answer.text("One ", "two ")
            answer.cut()
        elif script == "cut-clean":
            await answer.text("One ", "two ")
        elif script == "malformed":
            await answer.text("One ")
            await answer.response.write(b"data: {this is no JSON\n\n")
            await answer.end()
        elif script == "midstream-error":
            await answer.text("One ")
            await answer.error(f"backend failed for key {SECRET}")
        elif script == "content-filter":
            await answer.end("content_filter")
        elif script == "content-filter-late":
            await answer.text("One ", "two ")
            await answer.end("content_filter")
        elif script == "no-usage":
            await answer.text("One ", "two ")
            await answer.end(usage=None)
        elif script == "negative-usage":
            await answer.text("One ", "two ")
            await answer.end(usage=(-5, -3))
        elif script == "absurd-usage":
            await answer.text("One ", "two ")
            await answer.end(usage=(900_000_000, 900_000_000))
        elif script == "surrogate":
            await answer.text("a\ud83db", "pair \ud83d", "\ude00 end")
            await answer.end()
        elif script == "reasoning":
            await answer.reasoning("Hm, ", "well.")
            await answer.echo()
        else:
            await answer.echo()


class _Answer(ABC):
    """One streamed answer under way; pieces go out in a write each."""

    def __init__(self, request: web.Request, body: Json) -> None:
        self.request = request
        self.body = body
        self.sent = 0
        self.response = web.StreamResponse(headers={"content-type": "text/event-stream"})

    async def open(self) -> None:
        await self.response.prepare(self.request)

    @abstractmethod
    async def text(self, *pieces: str) -> None: ...

    @abstractmethod
    async def reasoning(self, *pieces: str) -> None: ...

    @abstractmethod
    async def error(self, message: str) -> None: ...

    @abstractmethod
    async def end(self, reason: str = "stop", usage: Usage = (0, 0)) -> None: ...

    async def echo(self) -> None:
        await self.text(*self.words())
        await self.end()

    def words(self) -> list[str]:
        """Of the last message, each with the space after it."""
        return re.findall(r"\S+\s*|\s+", _last_text(self.body))

    def cut(self) -> None:
        assert self.request.transport
        self.request.transport.abort()

    def counted(self, usage: Usage) -> Usage:
        """(0, 0) stands for a true count: a token a word, and a token a piece sent."""
        if usage != (0, 0):
            return usage
        words = sum(len(str(m.get("content")).split()) for m in self.body.get("messages", []))
        return max(words, 1), self.sent


class _OpenAI(_Answer):
    async def open(self) -> None:
        await super().open()
        await self._delta({"role": "assistant", "content": None})

    async def text(self, *pieces: str) -> None:
        for piece in pieces:
            self.sent += 1
            await self._delta({"content": piece})

    async def reasoning(self, *pieces: str) -> None:
        for piece in pieces:
            self.sent += 1
            await self._delta({"reasoning_content": piece})

    async def error(self, message: str) -> None:
        await self._write({"error": {"message": message, "type": "server_error", "code": 500}})

    async def end(self, reason: str = "stop", usage: Usage = (0, 0)) -> None:
        await self._delta({}, reason)
        counted = self.counted(usage)
        if counted and self.body.get("stream_options", {}).get("include_usage"):
            prompt, completion = counted
            total = {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            }
            await self._write(self._chunk([], usage=total))
        await self.response.write(b"data: [DONE]\n\n")

    async def _delta(self, delta: Json, reason: str | None = None) -> None:
        await self._write(self._chunk([{"index": 0, "delta": delta, "finish_reason": reason}]))

    def _chunk(self, choices: list[Json], **more: Json) -> Json:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000}
        return {**head, "model": self.body.get("model"), "choices": choices, **more}

    async def _write(self, chunk: Json) -> None:
        await self.response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


class _Anthropic(_Answer):
    async def open(self) -> None:
        await super().open()
        message: Json = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": self.body.get("model"),
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": (self.counted((0, 0)) or (0, 0))[0], "output_tokens": 1},
        }
        await self._event("message_start", message=message)
        block = {"type": "text", "text": ""}
        await self._event("content_block_start", index=0, content_block=block)

    async def text(self, *pieces: str) -> None:
        for piece in pieces:
            self.sent += 1
            delta = {"type": "text_delta", "text": piece}
            await self._event("content_block_delta", index=0, delta=delta)

    async def reasoning(self, *pieces: str) -> None:
        for piece in pieces:
            self.sent += 1
            delta = {"type": "thinking_delta", "thinking": piece}
            await self._event("content_block_delta", index=0, delta=delta)

    async def error(self, message: str) -> None:
        await self._event("error", error={"type": "overloaded_error", "message": message})

    async def end(self, reason: str = "stop", usage: Usage = (0, 0)) -> None:
        await self._event("content_block_stop", index=0)
        reason = {"stop": "end_turn", "content_filter": "refusal"}.get(reason, reason)
        counted = self.counted(usage)
        more = {"usage": {"output_tokens": counted[1]}} if counted else {}
        delta = {"stop_reason": reason, "stop_sequence": None}
        await self._event("message_delta", delta=delta, **more)
        await self._event("message_stop")

    async def _event(self, kind: str, **fields: Any) -> None:
        data = json.dumps({"type": kind, **fields})
        await self.response.write(f"event: {kind}\ndata: {data}\n\n".encode())


async def _paced(answer: _Answer, pieces: Sequence[str], rate: float) -> None:
    """`rate` a second, or all at once where it is 0."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number, piece in enumerate(pieces):
        if rate:
            await asyncio.sleep(max(0.0, begun + number / rate - loop.time()))
        await answer.text(piece)
    await answer.end()


def _refusal(script: str) -> web.Response | None:
    """The answer of a request that is refused before any stream."""
    status, kind, code = 400, "invalid_request_error", ""
    if script == "rate-limited-429":
        status, kind, code = 429, "rate_limit_error", "rate_limit_exceeded"
    elif script == "context-too-long":
        code = "context_length_exceeded"
    elif script == "context-overflow":
        kind = "exceed_context_size_error"
    elif refused := re.fullmatch(r"refuse-(\d{3})", script):
        status, kind = int(refused[1]), "server_error"
    else:
        return None
    text = f"refused, your key was {SECRET}"
    error = {"message": text, "type": kind, "code": code or status, "param": None}
    return web.json_response({"error": error}, status=status)


def _last_text(body: Json) -> str:
    messages = body.get("messages") or [{}]
    content = messages[-1].get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content)


if __name__ == "__main__":
    try:
        asyncio.run(Upstream().serve(lambda url: print(url, flush=True)))
    except KeyboardInterrupt:
        sys.exit(0)
