"""Events to rows and back: every class, every version, erased ones too."""

import asyncio
import inspect
import types
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID, uuid4

import msgspec
import pytest
from eventsourcing import domain as library
from eventsourcing.domain import Aggregate
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, update

from application.ports import Recorded
from domain.chat import Chat
from domain.personal import PERSONAL, Personal
from domain.usage import Usage
from infrastructure.database import sync_writer_engine
from infrastructure.event_store.codec import Codec, UndecodableEvent, codec, encode_meta
from infrastructure.event_store.personal import PlainForm, UnreadablePersonal
from infrastructure.event_store.schema import events, micros
from infrastructure.event_store.store import SqlEventStore
from tests.event_store.given import META, NOW, SetClock, append_of, new_chat, opened, run


def wrap(content: bytes) -> bytes:
    return PlainForm().seal(content, UUID(int=1), 1, "a topic")


def unwrap(stored: bytes) -> bytes | None:
    return PlainForm().open(stored, UUID(int=1), 1, "a topic")


EVENT_CLASSES = sorted(codec.event_classes.items())
LIBRARYS_FIELDS = set(get_type_hints(Aggregate.Created))


def own_fields(event_class: type) -> dict[str, Any]:
    hints = get_type_hints(event_class, include_extras=True)
    return {name: hint for name, hint in hints.items() if name not in LIBRARYS_FIELDS}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """All values of a field's type."""
    if get_origin(hint) is not None and hasattr(hint, "__metadata__"):
        return values_of(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return st.one_of([values_of(each) for each in get_args(hint)])
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        fields = get_type_hints(hint)
        return st.builds(hint, **{name: values_of(each) for name, each in fields.items()})
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        datetime: st.datetimes(timezones=st.just(UTC)),
        type(None): st.none(),
    }
    return simple[hint] if hint in simple else st.from_type(hint)


def events_of(event_class: type[Aggregate.Event]) -> st.SearchStrategy[Aggregate.Event]:
    fields = {name: values_of(hint) for name, hint in own_fields(event_class).items()}
    if issubclass(event_class, Aggregate.Created):
        aggregate_topic = event_class.TOPIC.split(".")[0]  # type: ignore[attr-defined]
        fields["originator_topic"] = st.just(aggregate_topic)
    return st.builds(
        event_class,
        originator_id=st.uuids(),
        originator_version=st.integers(1, 2**31 - 1),
        timestamp=st.datetimes(timezones=st.just(UTC)),
        **fields,
    )


class Row(msgspec.Struct):
    """A row as the log's queries return it."""

    stream_id: UUID
    version: int
    topic: str
    schema_version: int
    payload: bytes
    personal: bytes | None
    payload_digest: bytes
    personal_digest: bytes | None
    meta: bytes
    recorded_at: int
    position: int = 1


def row_of(event: Aggregate.Event, codec: Codec = codec) -> Row:
    return Row(**codec.encode(event, encode_meta(META)))


@pytest.mark.parametrize(
    "event_class", [each for _, each in EVENT_CLASSES], ids=dict(EVENT_CLASSES)
)
def test_every_event_comes_back_as_it_was(event_class: type[Aggregate.Event]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(events_of(event_class))
    def check(event: Aggregate.Event) -> None:
        row = row_of(event)
        decoded = codec.decode(row)
        assert type(decoded.event) is event_class
        assert decoded.event.__dict__ == event.__dict__
        assert decoded == Recorded(
            1, event.originator_id, event.originator_version, decoded.event, META, event.timestamp
        )

    check()


@pytest.mark.parametrize(
    "event_class", [each for _, each in EVENT_CLASSES], ids=dict(EVENT_CLASSES)
)
def test_personal_fields_are_stored_apart(event_class: type[Aggregate.Event]) -> None:
    @settings(max_examples=5, deadline=None)
    @given(events_of(event_class))
    def check(event: Aggregate.Event) -> None:
        row = row_of(event)
        hints = own_fields(event_class)
        personal = {name for name, hint in hints.items() if PERSONAL in _metadata(hint)}
        assert set(msgspec.json.decode(row.payload)) == hints.keys() - personal
        assert row.payload_digest == sha256(row.payload).digest()
        if not personal:
            assert row.personal is row.personal_digest is None
        else:
            assert row.personal is not None
            assert set(msgspec.json.decode(unwrap(row.personal) or b"")) == personal
            assert row.personal_digest == sha256(row.personal).digest()

    check()


def _metadata(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__metadata__", ())


@pytest.mark.parametrize("aggregate_class", [Chat, Usage])
def test_every_event_is_applied_by_a_method_of_its_very_fields(
    aggregate_class: type[Aggregate],
) -> None:
    for event_class in codec.event_classes.values():
        if getattr(aggregate_class, event_class.__name__, None) is not event_class:
            continue
        created = issubclass(event_class, Aggregate.Created)
        method = aggregate_class.__init__ if created else library.decorated_funcs[event_class]
        parameters = get_type_hints(method)
        assert parameters.pop("return") is type(None)
        if not created:
            assert parameters.pop("timestamp") is datetime
        fields = get_type_hints(event_class)
        assert parameters == {name: fields[name] for name in own_fields(event_class)}, event_class
        assert set(inspect.signature(method).parameters) - {"self", "timestamp"} == set(parameters)


@pytest.mark.parametrize(
    "event_class", [each for _, each in EVENT_CLASSES], ids=dict(EVENT_CLASSES)
)
def test_an_erased_event_still_decodes(event_class: type[Aggregate.Event]) -> None:
    @settings(max_examples=5, deadline=None)
    @given(events_of(event_class))
    def check(event: Aggregate.Event) -> None:
        row = row_of(event)
        row.personal = None
        decoded = codec.decode(row).event.__dict__
        for name, hint in own_fields(event_class).items():
            if PERSONAL in _metadata(hint):
                assert decoded[name] == ("" if get_args(hint)[0] is str else None)
            else:
                assert decoded[name] == getattr(event, name)

    check()


def test_equal_texts_are_stored_differently() -> None:
    assert wrap(b"yes") != wrap(b"yes")
    assert unwrap(wrap(b"yes")) == b"yes"


@pytest.mark.parametrize("stored", [b"", b"\x00", b"\x00short", b"\x01" + bytes(40)])
def test_personal_bytes_of_an_unknown_form_are_an_error(stored: bytes) -> None:
    with pytest.raises(UnreadablePersonal):
        unwrap(stored)


def renamed_row() -> Row:
    chat = new_chat()
    chat.rename("secret", NOW)
    event = chat.pending_events[1]
    assert isinstance(event, Chat.Renamed)
    return row_of(event)


def started_row() -> Row:
    chat = new_chat()
    created = chat.pending_events[0]
    assert isinstance(created, Chat.Created)
    return row_of(created)


@pytest.mark.parametrize("topic", ["chat.exploded", "tests.event_store.given:NOW", "chat", ""])
def test_an_unknown_topic_is_an_error_and_imports_nothing(topic: str) -> None:
    row = renamed_row()
    row.topic = topic
    with pytest.raises(UndecodableEvent, match="unknown topic"):
        codec.decode(row)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"{}", b'{"owner": 5, "model": null}', b'{"owner": "x", "model": null}'],
)
def test_a_payload_of_another_shape_never_decodes(payload: bytes) -> None:
    row = started_row()
    row.payload = payload
    with pytest.raises(UndecodableEvent):
        codec.decode(row)


def test_personal_fields_of_another_type_never_decode() -> None:
    row = renamed_row()
    row.personal = wrap(b'{"title": 5}')
    with pytest.raises(UndecodableEvent) as error:
        codec.decode(row)
    assert "secret" not in str(error.value)


def test_an_event_of_a_newer_schema_is_an_error() -> None:
    row = renamed_row()
    row.schema_version = 2
    with pytest.raises(UndecodableEvent, match="schema 2"):
        codec.decode(row)


class Note(Aggregate):
    """Its creation has changed twice: `name` became `title`, then a size was added."""

    TOPIC = "test-note"

    class Created(Aggregate.Created):
        TOPIC = "test-note.created"
        class_version = 3
        title: Personal[str]
        of: UUID
        size: int

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["title"] = state.pop("name", "")

        @staticmethod
        def upcast_v2_v3(state: dict[str, Any]) -> None:
            state["size"] = len(state["title"])

    @library.event(Created)
    def __init__(self, title: str, of: UUID, size: int) -> None:
        self.title = title


NOTES = Codec([Note])


def old_note(schema_version: int, personal: dict[str, str] | None) -> Row:
    return Row(
        stream_id=uuid4(),
        version=1,
        topic="test-note.created",
        schema_version=schema_version,
        payload=msgspec.json.encode({"of": UUID(int=5)}),
        personal=None if personal is None else wrap(msgspec.json.encode(personal)),
        payload_digest=b"",
        personal_digest=None,
        meta=encode_meta(META),
        recorded_at=micros(NOW),
    )


@pytest.mark.parametrize(
    ("schema_version", "personal", "title", "size"),
    [(1, {"name": "abc"}, "abc", 3), (2, {"title": "abcd"}, "abcd", 4), (1, None, "", 0)],
)
def test_an_old_event_is_brought_up_to_date(
    schema_version: int, personal: dict[str, str] | None, title: str, size: int
) -> None:
    event = NOTES.decode(old_note(schema_version, personal)).event
    assert isinstance(event, Note.Created)
    assert (event.title, event.of, event.size) == (title, UUID(int=5), size)
    assert vars(event.mutate(None))["title"] == title


def test_a_new_event_is_written_in_its_present_schema() -> None:
    event = Note(title="abc", of=UUID(int=5), size=3).pending_events[0]
    assert isinstance(event, Note.Created)
    row = row_of(event, NOTES)
    assert row.schema_version == 3
    assert NOTES.decode(row).event == event


def test_an_old_row_of_the_log_is_read_up_to_date(url: str) -> None:
    async def scenario() -> None:
        async with opened(url, codec=NOTES) as store:
            writing = sync_writer_engine(url)
            with writing.begin() as connection:
                row = msgspec.structs.asdict(old_note(1, {"name": "abc"}))
                connection.execute(insert(events), [row])
            writing.dispose()
            [recorded] = await store.read_all(0, 10)
            assert isinstance(recorded.event, Note.Created) and recorded.event.size == 3

    asyncio.run(scenario())


def test_an_erased_stream_loads(url: str) -> None:
    async def scenario(store: SqlEventStore, _clock: SetClock) -> None:
        chat = new_chat()
        chat.send(uuid4(), "a text", NOW)
        await store.append(append_of(chat))
        writing = sync_writer_engine(url)
        with writing.begin() as connection:
            connection.execute(update(events).values(personal=None))
        writing.dispose()
        erased = await store.load(Chat, chat.id, fresh=True)
        assert erased.state.messages == chat.state.messages
        created, sent = [each.event for each in await store.read_all(0, 10)]
        assert isinstance(created, Chat.Created) and created.title is None
        assert isinstance(sent, Chat.MessageSent) and sent.content == ""

    run(url, scenario)
