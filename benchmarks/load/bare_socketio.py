"""python-socketio's server and nothing else, which answers `list_chats` with what it was given.

python -m benchmarks.load.bare_socketio < answer.json      prints its port
"""

import json
import sys

import socketio
import uvicorn
import uvloop

NAMESPACE = "/chats"


async def main() -> None:
    answer = json.load(sys.stdin)
    server = socketio.AsyncServer(async_mode="asgi", namespaces=[NAMESPACE])

    async def list_chats(sid: str, request: object) -> object:
        return answer

    server.on("list_chats", list_chats, namespace=NAMESPACE)
    # As ours is served.
    config = uvicorn.Config(
        socketio.ASGIApp(server),
        port=0,
        ws="websockets-sansio",
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    listening = config.bind_socket()
    listening.listen()
    print(listening.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve([listening])


if __name__ == "__main__":
    uvloop.run(main())
