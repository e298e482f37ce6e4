"""What the framework cannot see of a route that reads its body, or writes its answer, by itself."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from interfaces.outbound import REFUSALS, ErrorCode, Problem, WireError
from interfaces.schemas import Schema, Schemas

INTERNAL_STATUS = 500
_KEY = "operation"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """For the description alone; `described` puts it on the route.

    `events` are those of a stream that answers with 200, which tells of refusals by an event too.
    Headers, cookies and the query are told by name, each with what it is for. `otherwise` are
    answers of other statuses than the route's own that are no errors.
    """

    body: type | None = None
    headers: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    cookies: Mapping[str, str] = {}
    answer: type | None = None
    events: Mapping[str, Sequence[type]] = {}
    answer_headers: Mapping[str, str] = {}
    nothing: str | None = None
    """When the answer is 204."""
    otherwise: Mapping[int, type] = {}
    refuses: Sequence[type[Exception]] = ()

    @property
    def spoken(self) -> list[type]:
        """Every Struct that stands in it."""
        of_events = [kind for kinds in self.events.values() for kind in kinds]
        own = [kind for kind in (self.body, self.answer) if kind is not None]
        errors: list[type] = [Problem, WireError] if self.refuses else []
        return [*own, *of_events, *self.otherwise.values(), *errors]

    def parameters(self) -> list[Schema]:
        places = {"header": self.headers, "query": self.query, "cookie": self.cookies}
        return [
            {"name": name, "in": place, "description": words, "schema": {"type": "string"}}
            for place, named in places.items()
            for name, words in named.items()
        ]

    def answers(self, status: int, schemas: Schemas) -> dict[str, Schema]:
        """The answers by status; `status` is that of the route where all goes well."""
        found: dict[str, Schema] = {}
        content: Schema = {}
        if self.answer is not None:
            content["application/json"] = {"schema": schemas.of(self.answer)}
        if self.events:
            content["text/event-stream"] = {"schema": schemas.of_events(self.events)}
        if content:
            found[str(status)] = _answer(status, content) | self._told_headers()
        if self.nothing is not None:
            found["204"] = {"description": self.nothing}
        for other, kind in self.otherwise.items():
            found[str(other)] = _answer(other, {"application/json": {"schema": schemas.of(kind)}})
        for refused, codes in self._codes().items():
            found[str(refused)] = _answer(refused, self._problem(schemas, codes))
        return found

    def _codes(self) -> dict[int, list[ErrorCode]]:
        found: dict[int, list[ErrorCode]] = {}
        for kind in self.refuses:
            form = REFUSALS[kind]
            if form.code not in found.setdefault(form.status, []):
                found[form.status].append(form.code)
        return dict(sorted(found.items())) | ({INTERNAL_STATUS: ["INTERNAL"]} if found else {})

    def _problem(self, schemas: Schemas, codes: list[ErrorCode]) -> Schema:
        only = {"properties": {"code": {"enum": codes}}}
        content = {"application/problem+json": {"schema": _both(schemas.of(Problem), only)}}
        if self.events:
            told = schemas.of_events({"assistant_error": (WireError,)})
            content["text/event-stream"] = {"schema": told}
        return content

    def _told_headers(self) -> Schema:
        told = {
            name: {"description": words, "schema": {"type": "string"}}
            for name, words in self.answer_headers.items()
        }
        return {"headers": told} if told else {}


def described(operation: Operation) -> dict[str, Any]:
    """What to give a route, or a router for all its routes, as `opt`."""
    return {_KEY: operation}


def operation_of(opt: Mapping[str, Any]) -> Operation:
    """What a route was given; nothing says nothing."""
    operation = opt.get(_KEY)
    return operation if isinstance(operation, Operation) else Operation()


def _answer(status: int, content: Schema) -> Schema:
    return {"description": HTTPStatus(status).phrase, "content": content}


def _both(one: Schema, other: Schema) -> Schema:
    return {"allOf": [one, other]}
