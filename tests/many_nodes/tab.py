"""A browser's tab: a socket of a user on one node, and the pushes it got."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import socketio

from tests.service import Service

NAMESPACE = "/chats"
PUSHES = ("chat_created", "chat_updated", "message_created", "reply_started", "message_completed")
WITHIN = 10.0


class Tab:
    def __init__(self, node: Service, headers: dict[str, str]) -> None:
        self.pushes: list[tuple[int, str]] = []
        """Position and name, in the order in which they came."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = socketio.AsyncClient(reconnection=False)
        self._client.on("*", self._heard, namespace=NAMESPACE)
        token = headers["authorization"].removeprefix("Bearer ")
        self._run(
            self._client.connect(
                node.url, auth={"token": token}, namespaces=[NAMESPACE], transports=["websocket"]
            )
        )

    def ask(self, request: str, payload: Any = None) -> Any:
        return self._run(
            self._client.call(request, payload or {}, namespace=NAMESPACE, timeout=WITHIN)
        )

    def close(self) -> None:
        self._run(self._client.disconnect())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN)
        self._loop.close()

    async def _heard(self, name: str, payload: Any) -> None:
        if name in PUSHES:
            self.pushes.append((payload["position"], name))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * WITHIN)
