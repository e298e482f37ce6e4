"""What the running server says is what docs/protocol.md says of it, name by name."""

from collections import defaultdict
from typing import Any

import httpx

from tests.docs.pages import OPERATIONS, PROTOCOL, names, rows, section
from tests.service import Event, Service, sending


def told_of(event: str, *places: tuple[str, int]) -> set[str]:
    """The fields that the page names for an event; of a shape, those of its section."""
    for heading, table in places:
        row = rows(section(PROTOCOL, heading), table=table).get(event)
        if row is not None:
            of_shape = rows(section(PROTOCOL, "Usage")) if "[Usage]" in row[1] else ()
            return names(row[1].partition(";")[0]) | set(of_shape)
    raise AssertionError(f"{event} has no row")


def test_a_streams_events_have_the_fields_that_the_page_names(events: list[Event]) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for event in events:
        found[event.name] |= set(event.data)
    for name, fields in found.items():
        assert fields == told_of(name, ("Events of a stream", 0)), name
    assert set(found) == set(rows(section(PROTOCOL, "Events of a stream")))


def test_the_shapes_within_have_the_fields_that_the_page_names(events: list[Event]) -> None:
    done = next(event.data for event in events if event.name == "assistant_complete")
    assert set(done["message"]) == set(rows(section(PROTOCOL, "Message"))) - {"content"}
    assert set(done["usage"]) == set(rows(section(PROTOCOL, "Usage of a message")))


def test_a_sockets_events_have_the_fields_that_the_page_names(heard: dict[str, list[Any]]) -> None:
    places = (("Pushes", 0), ("Socket.IO", 0), ("Requests", 1))
    for event, told in heard.items():
        fields = {field for data in told for field in data}
        assert fields == told_of(event, *places), event


def test_all_that_sockets_hear_was_heard(heard: dict[str, list[Any]]) -> None:
    told = {
        *rows(section(PROTOCOL, "Pushes")),
        *rows(section(PROTOCOL, "Requests"), table=1),
        "session",
    }
    # That one comes when a server goes down.
    assert set(heard) == told - {"server_draining"}


def test_the_shapes_that_sockets_hear_have_the_fields_that_the_page_names(
    heard: dict[str, list[Any]],
) -> None:
    def has(shape: dict[str, Any], heading: str) -> bool:
        return set(shape) == set(rows(section(PROTOCOL, heading)))

    assert has(heard["chats_list"][0]["chats"][0], "Chat")
    assert has(heard["messages_list"][0]["messages"][0], "Message")
    assert has(heard["models_list"][0]["models"][0], "Model")
    (result, *_) = heard["search_results"][0]["results"]
    assert set(result) <= names(rows(section(PROTOCOL, "Requests"))["search_results"][1])


def test_an_answers_headers_are_named(service: Service) -> None:
    with sending(service, {}, content="hello") as stream:
        stream.rest()
    own = {name for name in stream.response.headers if name.startswith("x-")}
    assert own - {"x-accel-buffering"} <= names(PROTOCOL)
    cookie = stream.response.headers["set-cookie"].partition("=")[0]
    assert cookie in names(section(PROTOCOL, "With an EventSource"))


def test_a_problem_has_the_fields_that_the_page_names(service: Service) -> None:
    problem = httpx.get(f"{service.url}/no/such/route").json()
    assert set(problem) <= names(section(PROTOCOL, "Errors"))


def test_every_route_is_described(service: Service) -> None:
    paths = httpx.get(f"{service.url}/schema/openapi.json").json()["paths"]
    assert paths
    for path, methods in paths.items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in PROTOCOL + OPERATIONS
