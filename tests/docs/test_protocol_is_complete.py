"""What the code can say and take stands in docs/protocol.md. The lists come from the code."""

import ast
import re
from datetime import UTC, datetime
from types import NoneType
from typing import Any, get_args, get_type_hints
from uuid import UUID

import msgspec
import pytest
from msgspec import inspect

from application import queries
from application.commands import Command, Regenerate, SendMessage, StopReply, TopUp
from application.queries import (
    ChatAt,
    ChatsPage,
    ChatView,
    HistoryMessage,
    LastMessage,
    MessageHead,
    MessagesPage,
    MessageUsageView,
    MessageView,
    ReplyView,
    SearchHit,
    SearchPage,
    UsageView,
)
from interfaces import outbound
from interfaces.http import cors, problems
from interfaces.outbound import REPLY_ERRORS, ErrorCode, Mapped, internal_error
from interfaces.sse.messages import KEY_LENGTH
from interfaces.ws.requests import REQUESTS
from interfaces.ws.sockets import MAX_MESSAGE
from tests.docs.pages import OPERATIONS, PROTOCOL, ROOT, names, rows, section

# Errors

ERRORS = rows(section(PROTOCOL, "Errors"))
IN_THE_STREAM = "in the stream"

SAMPLES: dict[object, object] = {
    int: 3,
    float: 1.5,
    str: "words",
    UUID: UUID(int=7),
    datetime: datetime(2026, 1, 1, tzinfo=UTC),
}


def sample(kind: type[Exception]) -> Exception:
    """An error of that kind, made of anything that its parameters take."""
    hints = get_type_hints(kind.__init__)
    wanted = [hint for name, hint in hints.items() if name != "return"]
    return kind(*(SAMPLES[_but_none(hint)] for hint in wanted))


def _but_none(hint: Any) -> object:
    return next((each for each in get_args(hint) if each is not NoneType), hint)


REFUSALS: list[Mapped] = [
    *(refusal.of(sample(kind)) for kind, refusal in outbound.REFUSALS.items()),
    internal_error(UUID(int=7)),
]


@pytest.mark.parametrize("mapped", REFUSALS, ids=lambda mapped: mapped.error.code)
def test_a_refusal_stands_in_the_table(mapped: Mapped) -> None:
    _, status, retryable, words = ERRORS[mapped.error.code]
    assert status.startswith(str(mapped.status))
    assert retryable == ("yes" if mapped.error.retryable else "no")
    assert set(mapped.error.details or {}) <= names(words)


@pytest.mark.parametrize("code", REPLY_ERRORS)
def test_what_ends_a_reply_stands_in_the_table(code: ErrorCode) -> None:
    _, status, retryable, _ = ERRORS[code]
    assert status.endswith(IN_THE_STREAM)
    assert retryable == ("yes" if REPLY_ERRORS[code][1] else "no")


def test_no_other_code_stands_in_the_table() -> None:
    known = {mapped.error.code for mapped in REFUSALS} | set(REPLY_ERRORS)
    assert set(ERRORS) == known
    assert set(problems._FRAMEWORK_CODES.values()) <= known


# Requests

SOCKET_REQUESTS: dict[str, type[Command]] = {
    name: exchange.asks for name, exchange in REQUESTS.items()
}
STREAM_REQUESTS: tuple[type[Command], ...] = (SendMessage, Regenerate, StopReply)
OF_OPERATORS: tuple[type[Command], ...] = (TopUp,)
ASKED, ANSWERED = 0, 1
"""The tables of the section on requests."""
BOUNDS = ("ge", "gt", "le", "lt", "min_length", "max_length")


def fields_of(command: type[Command]) -> dict[str, set[str]]:
    """Each field's name with the numbers that bound it."""
    described = inspect.type_info(command)
    assert isinstance(described, inspect.StructType)
    return {field.encode_name: _bounds(field.type) for field in described.fields}


def _bounds(kind: inspect.Type) -> set[str]:
    if isinstance(kind, inspect.UnionType):
        return {bound for each in kind.types for bound in _bounds(each)}
    found = (getattr(kind, name, None) for name in BOUNDS)
    return {str(bound) for bound in found if bound is not None}


def stands(name: str, bounds: set[str], text: str) -> bool:
    return name in names(text) and bounds <= set(re.findall(r"\d+", text))


def test_every_command_is_one_of_these() -> None:
    placed = {*SOCKET_REQUESTS.values(), *STREAM_REQUESTS, *OF_OPERATORS}
    assert set(Command.__subclasses__()) == placed


@pytest.mark.parametrize("name", SOCKET_REQUESTS)
def test_a_socket_request_stands_with_its_fields_and_their_bounds(name: str) -> None:
    whole = section(PROTOCOL, "Requests")
    row = " ".join(rows(whole, table=ASKED)[name])
    for field, bounds in fields_of(SOCKET_REQUESTS[name]).items():
        if field == "min_position":
            assert field in names(whole)
        elif field == "cursor":
            assert field in names(row)
            assert stands(field, bounds, "`cursor`" + section(PROTOCOL, "Limits"))
        else:
            assert stands(field, bounds, row), field


def test_no_other_socket_request_stands_there() -> None:
    assert set(rows(section(PROTOCOL, "Requests"), table=ASKED)) == set(SOCKET_REQUESTS)


@pytest.mark.parametrize("command", STREAM_REQUESTS)
def test_a_stream_request_stands_with_its_fields_and_their_bounds(command: type[Command]) -> None:
    in_table = rows(section(PROTOCOL, f"`POST /api/v1/messages/{command.route}`"))
    assert set(in_table) == set(fields_of(command))
    for field, bounds in fields_of(command).items():
        assert stands(field, bounds, " ".join(in_table[field])), field


@pytest.mark.parametrize("command", OF_OPERATORS)
def test_an_operators_request_stands_in_the_operators_page(command: type[Command]) -> None:
    assert set(fields_of(command)) <= names(OPERATIONS)


def test_limits_that_are_no_fields_bounds_are_told() -> None:
    assert str(MAX_MESSAGE) in section(PROTOCOL, "Limits")
    assert f"(1 to {KEY_LENGTH} characters)" in PROTOCOL


# Shapes

SHAPES: dict[type[msgspec.Struct], str] = {
    ChatView: "Chat",
    MessageView: "Message",
    MessageUsageView: "Usage of a message",
    UsageView: "Usage",
}
WITHIN: dict[type[msgspec.Struct], str] = {
    ChatsPage: "chats_list",
    MessagesPage: "messages_list",
    SearchPage: "search_results",
    SearchHit: "search_results",
    ChatAt: "chat_updated",
}
"""Structs that a row of the reply events tells."""
NOT_SENT = {HistoryMessage, ReplyView}


def test_every_view_is_one_of_these() -> None:
    views = {
        each
        for each in vars(queries).values()
        if isinstance(each, type)
        and issubclass(each, msgspec.Struct)
        and not issubclass(each, Command)
        and each.__module__ == queries.__name__
    }
    assert views == {*SHAPES, *WITHIN, *NOT_SENT, LastMessage, MessageHead}


@pytest.mark.parametrize("view", SHAPES)
def test_a_shape_has_exactly_its_fields(view: type[msgspec.Struct]) -> None:
    assert set(rows(section(PROTOCOL, SHAPES[view]))) == set(view.__struct_encode_fields__)


def test_the_last_message_of_a_chat_is_told_with_it() -> None:
    row = rows(section(PROTOCOL, "Chat"))["last_message"]
    assert set(LastMessage.__struct_encode_fields__) <= names(" ".join(row))


@pytest.mark.parametrize("view", WITHIN)
def test_a_page_has_its_fields(view: type[msgspec.Struct]) -> None:
    row = " ".join(rows(section(PROTOCOL, "Requests"), table=ANSWERED)[WITHIN[view]])
    assert set(view.__struct_encode_fields__) <= names(row)


# Everything else that is written out in the interfaces

WORD = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")

NOT_SPOKEN = {
    *("asgi", "body", "client", "extensions", "headers", "method", "more_body", "path_template"),
    *("stream", "text", "wire"),
    *("s", "t", "u", "x"),  # of event ids, which are opaque
    *("caller", "push", "pushes", "sse", "unknown"),  # places in the log and in a request's state
    *("connect", "disconnect", "disconnecting", "messages"),  # of libraries
    *("no", "set-cookie", "x-accel-buffering"),
}
"""Words in code that no client needs to know."""


DESCRIPTION = ROOT / "interfaces/ws/asyncapi.py"
"""Its words are AsyncAPI's."""


def words_of(*files: str) -> set[str]:
    """All strings in the code that could be names, but for what is looked up by subscript."""
    nodes = [
        node
        for file in files
        for path in ROOT.glob(file)
        if path != DESCRIPTION
        for node in ast.walk(ast.parse(path.read_text()))
    ]
    looked_up = {node.slice for node in nodes if isinstance(node, ast.Subscript)}
    strings = {node for node in nodes if isinstance(node, ast.Constant)} - looked_up
    values = {
        node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        for node in strings
        if isinstance(node.value, str | bytes)
    }
    return {value for value in values if WORD.fullmatch(value)}


def test_every_name_on_the_wire_stands_on_the_page() -> None:
    spoken = words_of("interfaces/ws/*.py", "interfaces/sse/*.py", "interfaces/outbound.py")
    missing = spoken - NOT_SPOKEN - names(PROTOCOL)
    assert not missing, "describe them in docs/protocol.md, or add them to NOT_SPOKEN"


def test_every_event_of_a_stream_has_a_row() -> None:
    told = rows(section(PROTOCOL, "Events of a stream"))
    events = {word for word in words_of("interfaces/sse/*.py") if word.startswith("assistant_")}
    assert events | {"usage_info"} == set(told)
    probe = {word for word in words_of("interfaces/sse/probe.py") if word.startswith("test_")}
    assert probe <= names(section(PROTOCOL, "`POST /api/v1/messages/test-sse`"))


def test_every_push_has_a_row() -> None:
    words = words_of("interfaces/ws/push_messages.py")
    pushes = {word for word in words if "_" in word and not word.endswith("_id")}
    told = rows(section(PROTOCOL, "Pushes"))
    assert pushes | {"assistant_error", "server_draining"} == set(told)


def test_every_reply_event_has_a_row() -> None:
    requests = section(PROTOCOL, "Requests")
    asked = rows(requests, table=ASKED)
    answers = {asked[name][2].strip("`") for name in SOCKET_REQUESTS}
    assert answers == set(rows(requests, table=ANSWERED)) | {"session"}
    assert answers <= words_of("interfaces/ws/requests.py", "interfaces/ws/chats.py")


def test_headers_for_other_origins_stand_on_the_page() -> None:
    told = names(section(PROTOCOL, "Other origins"))
    assert set(cors.ALLOWED_HEADERS.split(", ")) <= told
    assert set(cors.EXPOSED_HEADERS.split(", ")) <= told
