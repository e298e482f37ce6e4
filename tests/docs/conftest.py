"""What one server said when everything was asked of it."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.docs.browser import printed
from tests.service import Event, Service, bearer, send, sending, token

ACKNOWLEDGED = "acknowledged "
"""Before a request's name, in what the script prints of its acknowledgement."""


@pytest.fixture(scope="session")
def events(service: Service) -> list[Event]:
    """Of a user's and a visitor's replies that ended in each of the ways."""
    user, visitor = bearer(f"user-{uuid4()}"), {"x-anon-id": f"visitor-{uuid4()}"}
    seen = []
    for who in (user, visitor):
        first = send(service, who, "[[reasoning]] hello", model="paid")
        with sending(service, who, route="regenerate", chat_id=first[0].data["chat_id"]) as stream:
            seen += first + stream.rest()
    seen += send(service, user, "[[refuse-500]]")
    with sending(service, user, content="hello", chat_id="no id") as stream:
        return seen + stream.rest()


@pytest.fixture(scope="session")
def _said(service: Service) -> dict[str, list[Any]]:
    script = (Path(__file__).parent / "every_request.js").read_text()
    script = script.replace("TOKEN", token(f"user-{uuid4()}"))
    said = defaultdict(list)
    for line in printed(service, script.replace("VISITOR", f"visitor-{uuid4()}")):
        event, data = json.loads(line)
        said[event].append(data)
    return said


@pytest.fixture(scope="session")
def heard(_said: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """What sockets heard while everything was asked, by event."""
    return {event: told for event, told in _said.items() if not event.startswith(ACKNOWLEDGED)}


@pytest.fixture(scope="session")
def acknowledged(_said: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The acknowledgements, by request."""
    return {
        event.removeprefix(ACKNOWLEDGED): told
        for event, told in _said.items()
        if event.startswith(ACKNOWLEDGED)
    }
