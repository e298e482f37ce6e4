"""Both descriptions of the interfaces say what the server does, and what docs/protocol.md says."""

import ast
import json
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from interfaces.outbound import REFUSALS, REPLY_ERRORS
from interfaces.ws.requests import REQUESTS, Requests
from tests.docs.pages import OPERATIONS, PROTOCOL, ROOT, names, rows, section
from tests.service import Event, Service, bearer, sending

Document = dict[str, Any]
JSON_ONLY = {"accept": "application/json"}
ASYNCAPI_SCHEMA = ROOT / "tests/clients/node_modules/@asyncapi/specs/schemas/3.0.0.json"
NOT_DESCRIBED = {"/", "/console", "/web/{path:path}", "/asyncapi", "/asyncapi.json"}
"""Pages, and what they are made of."""


@pytest.fixture(scope="module")
def openapi(service: Service) -> Document:
    return _strict(httpx.get(f"{service.url}/schema/openapi.json").json())


@pytest.fixture(scope="module")
def asyncapi(service: Service) -> Document:
    return _strict(httpx.get(f"{service.url}/asyncapi.json").json())


def _strict(document: Document) -> Document:
    """Nothing may be said that is not described, though clients must bear it."""
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return document


def validate(said: object, schema: Document, document: Document) -> None:
    whole = schema | {"components": document["components"]}
    Draft202012Validator(whole).validate(said)


def messages(document: Document, *actions: str) -> dict[str, Document]:
    """By event, the payloads of what is sent, or answered, in operations of these actions."""
    found = {}
    for operation in document["operations"].values():
        if operation["action"] in actions:
            answers = operation.get("reply", {}).get("messages", [])
            told = operation["messages"] if operation["action"] == "send" else answers
            for reference in told:
                message = at(document, reference["$ref"])
                found[message["name"]] = message["payload"]
    return found


def at(document: Document, pointer: str) -> Document:
    place = document
    for step in pointer.removeprefix("#/").split("/"):
        place = place[step]
    return place


def fields(document: Document, schema: Document) -> set[str]:
    found: Document = at(document, schema["$ref"]).get("properties", {})
    return set(found)


def asked(document: Document) -> dict[str, Document]:
    """The requests, each as its operation."""
    operations = document["operations"].items()
    return {
        name: operation
        for name, operation in operations
        if operation["action"] == "receive" and name != "connect"
    }


# AsyncAPI


def test_the_document_is_asyncapi(service: Service) -> None:
    schema = json.loads(Path(ASYNCAPI_SCHEMA).read_text())
    document = httpx.get(f"{service.url}/asyncapi.json").json()
    Draft7Validator(schema).validate(document)
    del document["operations"]["list_chats"]["action"]
    assert not Draft7Validator(schema).is_valid(document)


def test_every_request_that_is_answered_is_described(
    asyncapi: Document, acknowledged: dict[str, list[Any]]
) -> None:
    answered = Requests(*(cast(Any, None),) * 3)._answers
    assert {*answered, "authenticate"} == set(REQUESTS) == set(asked(asyncapi))
    assert set(acknowledged) == set(REQUESTS) | {"no_such_request", "connect"}


def test_acknowledgements_are_as_described(
    asyncapi: Document, acknowledged: dict[str, list[Any]]
) -> None:
    for name, operation in asked(asyncapi).items():
        answer, refused = (at(asyncapi, each["$ref"]) for each in operation["reply"]["messages"])
        for told in acknowledged[name]:
            validate(told, answer["payload"], asyncapi)
        (unknown,) = acknowledged["no_such_request"]
        validate(unknown, refused["payload"], asyncapi)
    (turned_away,) = acknowledged["connect"]
    validate(turned_away, messages(asyncapi, "receive")["connect_error"], asyncapi)


def test_what_sockets_hear_is_as_described(asyncapi: Document, heard: dict[str, list[Any]]) -> None:
    described = messages(asyncapi, "send", "receive")
    acknowledgements = {"refused", "connect_error"}
    assert set(described) - acknowledgements == set(heard) | {"server_draining"}
    for event, told in heard.items():
        for data in told:
            validate(data, described[event], asyncapi)


def test_payloads_that_are_refused_are_not_as_described(asyncapi: Document) -> None:
    for name in asked(asyncapi):
        message = asyncapi["channels"]["chats"]["messages"][f"{name}.request"]
        whole = message["payload"] | {"components": asyncapi["components"]}
        refused = [{"no_such_field": 1}, {"min_position": -1}]
        for payload in refused:
            validator = Draft202012Validator(whole)
            assert not validator.is_valid(payload), name


def test_requests_and_pushes_are_those_of_the_page(asyncapi: Document) -> None:
    on_page = rows(section(PROTOCOL, "Requests"), table=0)
    assert set(asked(asyncapi)) == set(on_page)
    for name, operation in asked(asyncapi).items():
        asks = at(asyncapi, operation["messages"][0]["$ref"])["payload"]
        told = names(" ".join(on_page[name][1:2])) | {"min_position"}
        assert fields(asyncapi, asks) <= told, name
        answer = at(asyncapi, operation["reply"]["messages"][0]["$ref"])
        assert on_page[name][2] == f"`{answer['name']}`"
    pushes = set(rows(section(PROTOCOL, "Pushes")))
    assert set(messages(asyncapi, "send")) == pushes | {"session"}


def test_the_shapes_are_those_of_the_page(asyncapi: Document) -> None:
    shapes = {
        "ChatView": "Chat",
        "MessageView": "Message",
        "MessageUsageView": "Usage of a message",
        "UsageView": "Usage",
        "ModelView": "Model",
    }
    for name, heading in shapes.items():
        described = fields(asyncapi, {"$ref": f"#/components/schemas/{name}"})
        assert described == set(rows(section(PROTOCOL, heading))), name


def test_the_codes_are_those_of_the_page(asyncapi: Document) -> None:
    codes = set(asyncapi["components"]["schemas"]["WireError"]["properties"]["code"]["enum"])
    assert codes == set(rows(section(PROTOCOL, "Errors")))
    told = {form.code for form in REFUSALS.values()} | set(REPLY_ERRORS)
    assert codes == told


# OpenAPI


def operations(document: Document) -> dict[tuple[str, str], Document]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_is_described_but_pages() -> None:
    hidden = {
        ast.literal_eval(node.args[0])
        for path in (ROOT / "interfaces").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and node.args
        and any(keyword.arg == "include_in_schema" for keyword in node.keywords)
    }
    assert hidden == NOT_DESCRIBED


def test_the_routes_described_are_there(service: Service, openapi: Document) -> None:
    for path, methods in openapi["paths"].items():
        concrete = path.replace("{", "").replace("}", "")
        wrong = httpx.delete(f"{service.url}{concrete}")
        assert wrong.status_code == 405
        allowed = {method.strip().lower() for method in wrong.headers["allow"].split(",")}
        assert allowed - {"options", "head"} == set(methods), path
        for method in methods:
            assert f"`{method.upper()} {path}`" in PROTOCOL + OPERATIONS


def test_bodies_have_the_fields_of_the_page(openapi: Document) -> None:
    for name in ("send", "regenerate", "stop"):
        path = f"/api/v1/messages/{name}"
        content = openapi["paths"][path]["post"]["requestBody"]["content"]
        described = fields(openapi, content["application/json"]["schema"])
        assert described == set(rows(section(PROTOCOL, f"`POST {path}`")))


def events_of(document: Document, method: str, path: str) -> dict[str, Document]:
    """The events of a route's stream, by name, each as the schema of its data."""
    operation = operations(document)[method, path]
    content = operation["responses"]["200"]["content"]["text/event-stream"]
    return {
        each["title"]: each["properties"]["data"] for each in content["schema"]["items"]["anyOf"]
    }


def test_the_events_of_streams_are_as_described(openapi: Document, events: list[Event]) -> None:
    described = events_of(openapi, "get", "/api/v1/messages/send")
    assert set(described) == set(rows(section(PROTOCOL, "Events of a stream")))
    assert set(described) == {event.name for event in events}
    for event in events:
        validate(event.data, described[event.name], openapi)
    parts = [events_of(openapi, "post", f"/api/v1/messages/{n}") for n in ("send", "regenerate")]
    assert parts[0] | parts[1] == described
    assert set(parts[0]) ^ set(parts[1]) == {
        "assistant_typing",
        "assistant_complete",
        "assistant_regenerating",
        "assistant_regenerated",
    }


def test_the_probes_events_are_as_described(service: Service, openapi: Document) -> None:
    with sending(service, {}, route="test-sse") as stream:
        told = stream.rest()
    described = events_of(openapi, "post", "/api/v1/messages/test-sse")
    assert {event.name for event in told} == set(described)
    for event in told:
        validate(event.data, described[event.name], openapi)


def test_answers_are_as_described(service: Service, openapi: Document) -> None:
    """Of every route that can be asked without a model; of each, answers and refusals."""
    user, operator = bearer("user-of-answers"), bearer("operator", "dabir:admin")
    account = "/api/v1/admin/usage/user:user-of-answers"
    top_up = {"amount": "1", "reference": "of-descriptions"}
    requests: list[tuple[str, str, str, dict[str, str], object]] = [
        ("get", "/healthz", "/healthz", {}, None),
        ("get", "/readyz", "/readyz", {}, None),
        ("post", "/api/v1/anonymous", "/api/v1/anonymous", {}, None),
        *(
            ("post", f"/api/v1/messages/{name}", f"/api/v1/messages/{name}", headers, body)
            for name in ("send", "regenerate", "stop")
            for headers, body in (
                (JSON_ONLY | user, {"no_such_field": 1}),
                (JSON_ONLY | {"authorization": "Bearer broken"}, {}),
            )
        ),
        (
            "post",
            "/api/v1/messages/send",
            "/api/v1/messages/send",
            JSON_ONLY | user,
            {"content": "hello", "model": "no-such-model"},
        ),
        (
            "get",
            "/api/v1/messages/send",
            "/api/v1/messages/send?stream_token=made-up",
            JSON_ONLY,
            None,
        ),
        ("get", "/api/v1/messages/send", "/api/v1/messages/send", {}, None),
        ("get", "/api/v1/admin/usage/{principal}", account, operator, None),
        ("get", "/api/v1/admin/usage/{principal}", account, user, None),
        ("post", "/api/v1/admin/usage/{principal}/top-up", f"{account}/top-up", operator, top_up),
        ("post", "/api/v1/admin/usage/{principal}/top-up", f"{account}/top-up", operator, {}),
    ]
    requests += [
        ("get", path, path, operator, None)
        for path, methods in openapi["paths"].items()
        if "/admin/" in path and "{" not in path and "get" in methods
    ]
    seen = set()
    for method, path, address, headers, body in requests:
        url = f"{service.url}{address}"
        answer = httpx.request(method, url, headers=headers, json=body, timeout=30)
        seen.add(answer.status_code)
        responses = operations(openapi)[method, path]["responses"]
        assert str(answer.status_code) in responses, (method, path, answer.text)
        described = responses[str(answer.status_code)]
        if answer.content:
            kind = answer.headers["content-type"].partition(";")[0]
            validate(answer.json(), described["content"][kind]["schema"], openapi)
        else:
            assert "content" not in described
    assert seen == {200, 201, 204, 400, 401, 403, 404}


def test_a_streams_headers_are_described(service: Service, openapi: Document) -> None:
    with sending(service, {}, content="hello") as stream:
        stream.rest()
    described = operations(openapi)["post", "/api/v1/messages/send"]["responses"]["200"]["headers"]
    own = {name for name in stream.response.headers if name.startswith("x-")}
    assert own - {"x-accel-buffering"} | {"set-cookie"} == set(described)


def test_statuses_of_codes_are_those_of_the_page(openapi: Document) -> None:
    on_page = rows(section(PROTOCOL, "Errors"))
    for key, operation in operations(openapi).items():
        for status, answer in operation["responses"].items():
            problem = answer.get("content", {}).get("application/problem+json")
            if problem is not None:
                for code in problem["schema"]["allOf"][1]["properties"]["code"]["enum"]:
                    assert on_page[code][1].startswith(status), (key, code)


def test_each_description_leads_to_the_other(service: Service, openapi: Document) -> None:
    assert "(/asyncapi)" in openapi["info"]["description"]
    assert "(/schema)" in httpx.get(f"{service.url}/asyncapi.json").json()["info"]["description"]
    page = (ROOT / "interfaces/web/asyncapi/page.js").read_text()
    assert '"/schema"' in page
