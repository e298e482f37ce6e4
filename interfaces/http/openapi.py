"""OpenAPI's description of the HTTP routes: the framework's, completed by what routes declare."""

from collections.abc import Iterable, Iterator
from typing import Any

from litestar.routes import BaseRoute, HTTPRoute

from application.errors import Forbidden, Unauthorized
from interfaces.http.caller import ANON_ID
from interfaces.http.operations import Operation, operation_of
from interfaces.schemas import Schemas

Document = dict[str, Any]

ABOUT = """\
The HTTP routes. What goes over Socket.IO is [described beside it](/asyncapi).

A stream is `text/event-stream`; it is told here as the list of its events, each with its name and
the JSON of its `data`. A refusal is a problem (RFC 9457); routes that stream tell it as one
`assistant_error`, unless `Accept` names JSON and not `text/event-stream`."""

SECURITY_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A user's token."},
    "visitor": {"type": "apiKey", "in": "header", "name": ANON_ID, "description": "A visitor's."},
}
ANYBODY: list[dict[str, list[str]]] = [{"token": []}, {"visitor": []}, {}]
OPERATORS: list[dict[str, list[str]]] = [{"token": []}]


def completed(document: Document, routes: Iterable[BaseRoute]) -> Document:
    """The framework's `document` with what it cannot know of these routes."""
    declared = list(_declared(routes))
    schemas = Schemas(kind for *_, operation in declared for kind in operation.spoken)
    paths = document["paths"]
    for path, method, status, operation in declared:
        known = paths.get(path, {}).get(method)
        if known is not None:
            paths[path][method] = _completed(known, status, operation, schemas)
    document["info"]["description"] = ABOUT
    components = document.setdefault("components", {})
    components["schemas"] = _merged(components.get("schemas", {}), schemas.components)
    components["securitySchemes"] = SECURITY_SCHEMES
    return document


def _merged(framework: Document, own: Document) -> Document:
    """Both know some Structs; ours are told as the wire has them."""
    for name in framework.keys() & own.keys():
        if framework[name]["properties"].keys() != own[name]["properties"].keys():
            raise ValueError(f"Two shapes are called {name}.")
    return framework | own


def _declared(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, int, Operation]]:
    """Path, method, status and operation of each route."""
    for route in routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    operation = operation_of(handler.opt)
                    yield route.path_format, method.lower(), handler.status_code, operation


def _completed(known: Document, status: int, operation: Operation, schemas: Schemas) -> Document:
    answers = operation.answers(status, schemas)
    # The framework tells refusals as it would word them.
    framework = {code: told for code, told in known["responses"].items() if code < "400"}
    if operation.events or operation.answer:
        framework.pop(str(status), None)
    document = known | {"responses": dict(sorted((framework | answers).items()))}
    parameters = [*known.get("parameters", ()), *operation.parameters()]
    if parameters:
        document["parameters"] = parameters
    if operation.body is not None:
        schema = schemas.of(operation.body)
        document["requestBody"] = {
            "content": {"application/json": {"schema": schema}},
            "required": True,
        }
    if Forbidden in operation.refuses:
        document["security"] = OPERATORS
    elif Unauthorized in operation.refuses:
        document["security"] = ANYBODY
    return document
