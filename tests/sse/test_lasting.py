"""What has led to an answer that lasts is gone while it is given."""

import asyncio
import weakref
from typing import Any

from interfaces.sse.lasting import LastingAnswers, forget_request, lasting


class Noted:
    """What a framework keeps of a request."""


def test_an_answer_outlasts_the_framework_and_what_it_noted() -> None:
    noted: list[weakref.ref[Noted]] = []
    sent: list[Any] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send("head")
        assert all(ref() for ref in noted)
        forget_request(scope)
        del send
        assert not any(ref() for ref in noted)
        sent.append(scope)

    async def framework(scope: Any, receive: Any, send: Any) -> None:
        kept_by_frames, kept_in_scope, kept_by_send = Noted(), Noted(), Noted()
        noted.append(weakref.ref(kept_in_scope))
        noted.append(weakref.ref(kept_by_send))
        frames_gone.append(weakref.ref(kept_by_frames))
        scope["state"]["noted"] = kept_in_scope
        scope["path_template"] = "/answers/{id}"

        async def wrapped(message: Any) -> None:
            sent.append((message, type(kept_by_send).__name__))

        await lasting(answer)(scope, receive, wrapped)
        assert not sent

    async def receive() -> Any: ...

    async def send(message: Any) -> None: ...

    frames_gone: list[weakref.ref[Noted]] = []
    headers = [(b"host", b"localhost")]
    scope: Any = {"type": "http", "method": "POST", "headers": headers, "state": {}}
    asyncio.run(LastingAnswers(framework)(scope, receive, send))
    left = {"type": "http", "method": "POST", "path_template": "/answers/{id}"}
    assert sent == [("head", "Noted"), left]
    assert not headers
    assert frames_gone[0]() is None


def test_other_answers_pass_through() -> None:
    sent: list[Any] = []

    async def framework(scope: Any, receive: Any, send: Any) -> None:
        await send("whole")

    async def receive() -> Any: ...

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(LastingAnswers(framework)({"type": "http"}, receive, send))  # type: ignore[arg-type]
    assert sent == ["whole"]
