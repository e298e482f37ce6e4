"""Whatever is done to sealed events is found: by the auditor's file from outside, and by the log's
own tree at the exact position.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest

from application.audit import Checkpoint
from infrastructure.audit.delivery import to_folder
from infrastructure.audit.merkle import Frontier
from infrastructure.audit.sealer import hash_of
from infrastructure.audit.signing import KEY_FILE, load_signer
from interfaces.cli.audit_verify import check
from tests.audit.given import World

VICTIM = 15
"""A message of the second interval, with words in it."""


def interval(world: World) -> tuple[int, str]:
    last = world.checkpoints / "000000000021.checkpoint"
    return 14, f"from here to 21 not all is as it was sealed, by {last}"


def changed(column: str, value: object) -> Callable[[World], None]:
    return lambda world: world.change(
        f"UPDATE events SET {column} = ? WHERE position = ?", value, VICTIM
    )


def changed_with_digest(column: str, value: bytes) -> Callable[[World], None]:
    return lambda world: world.change(
        f"UPDATE events SET {column} = ?, {column}_digest = ? WHERE position = ?",
        *(value, sha256(value).digest(), VICTIM),
    )


PAYLOAD = (VICTIM, "payload is not what payload_digest is of")
PERSONAL = (VICTIM, "personal is not what personal_digest is of")
GONE = (VICTIM, "personal is missing, and its stream was not erased")
OTHERWISE = (VICTIM, "its header or one of its digests is not as it was sealed")


def test_what_is_as_it_was_sealed_has_no_faults(world: World) -> None:
    assert world.faults() == []
    assert world.live_faults() == []


def test_the_tail_that_is_not_sealed_is_told_by_its_size(world: World) -> None:
    figures = check(world.export(), world.auditor())
    assert (figures["events"], figures["sealed"], figures["unsealed"]) == (29, 21, 8)


@pytest.mark.parametrize(
    ("change", "named", "is_header"),
    [
        (changed("payload", b"{}"), [PAYLOAD], False),
        (changed("personal", b"\0" + bytes(16) + b"{}"), [PERSONAL], False),
        (changed("payload_digest", bytes(32)), [PAYLOAD], True),
        (changed("personal_digest", bytes(32)), [PERSONAL], True),
        (changed("personal", None), [GONE], False),
        (changed("topic", "chat.renamed"), [], True),
        (changed("schema_version", 2), [], True),
        (changed("recorded_at", 1), [], True),
        (changed("meta", b'{"correlation":"somebody else"}'), [], True),
        (changed("meta", '{"correlation":"دبیر"}'.encode()), [], True),
        (changed_with_digest("payload", b"{}"), [], True),
        (changed_with_digest("personal", b"\0" + bytes(16) + b"{}"), [], True),
        (changed("recorded_at", "then"), [], True),
        (changed("version", 9), [(VICTIM, "version 9 comes after 1 in its stream")], True),
        (changed("stream_id", uuid4().hex), [], True),
    ],
)
def test_a_changed_column_is_found_and_named(
    change: Callable[[World], None],
    named: list[tuple[int, str]],
    is_header: bool,
    world: World,
) -> None:
    change(world)
    faults = world.faults()
    assert set(named) <= set(faults)
    assert (interval(world) in faults) == is_header
    live = world.live_faults()
    assert (OTHERWISE in live) == is_header
    assert live[0][0] == VICTIM


def test_bytes_that_no_export_can_hold_are_found_in_the_log(world: World) -> None:
    changed("meta", b"\xff")(world)
    assert (VICTIM, "meta is not text") in world.live_faults()


def test_a_changed_position_is_found_and_named(world: World) -> None:
    world.change("UPDATE events SET position = 1000 WHERE position = ?", VICTIM)
    faults = world.faults()
    assert (16, "its line stands where position 15 belongs") in faults
    assert (1000, "its line stands where position 30 belongs") in faults
    assert interval(world) in faults
    assert (15, "missing, and all up to 15") in world.live_faults()


def test_digest_and_words_taken_away_together_are_found(world: World) -> None:
    world.change(
        "UPDATE events SET personal = NULL, personal_digest = NULL WHERE position = ?", VICTIM
    )
    assert world.faults() == [interval(world)]
    assert OTHERWISE in world.live_faults()


def test_a_dropped_event_is_found(world: World) -> None:
    world.change("DELETE FROM events WHERE position = ?", VICTIM)
    faults = world.faults()
    assert (16, "its line stands where position 15 belongs") in faults
    assert interval(world) in faults
    assert (15, "missing, and all up to 15") in world.live_faults()


def test_a_dropped_event_is_found_where_the_others_close_the_gap(world: World) -> None:
    # The last one of its stream, so that versions have no gap either.
    world.change("DELETE FROM events WHERE position = 20")
    for position in range(21, 30):
        world.change("UPDATE events SET position = ? WHERE position = ?", position - 1, position)
    last = world.checkpoints / "000000000021.checkpoint"
    assert world.faults() == [(14, f"from here to 21 not all is as it was sealed, by {last}")]
    assert (20, "its header or one of its digests is not as it was sealed") in world.live_faults()


def test_two_events_in_each_others_place_are_found(world: World) -> None:
    # Of different streams, so that versions do not show it.
    for old, new in ((16, 1000), (17, 16), (1000, 17)):
        world.change("UPDATE events SET position = ? WHERE position = ?", new, old)
    assert world.faults() == [interval(world)]
    assert {position for position, _ in world.live_faults()} >= {16, 17}


def test_two_lines_in_each_others_place_are_found(world: World) -> None:
    export = world.export()
    lines = export.read_text().splitlines(keepends=True)
    lines[16], lines[17] = lines[17], lines[16]
    export.write_text("".join(lines))
    assert (17, "its line stands where position 16 belongs") in world.faults(export)


def test_an_inserted_event_is_found(world: World) -> None:
    for position in range(29, 14, -1):
        world.change("UPDATE events SET position = ? WHERE position = ?", position + 1, position)
    columns = "version, topic, schema_version, payload, personal, payload_digest"
    more = "personal_digest, meta, recorded_at"
    world.change(
        f"INSERT INTO events (position, stream_id, {columns}, {more}) "
        f"SELECT 15, ?, {columns}, {more} FROM events WHERE position = 14",
        uuid4().hex,
    )
    assert world.faults() == [interval(world)]
    assert (15, "its header or one of its digests is not as it was sealed") in world.live_faults()


def test_a_log_cut_below_the_seal_is_found(world: World) -> None:
    world.change("DELETE FROM events WHERE position > 17")
    last = world.checkpoints / "000000000021.checkpoint"
    assert world.faults() == [(18, f"it is missing, with all up to 21, by {last}")]
    assert world.live_faults() == [(18, "missing, though 21 events and more were signed for")]


def test_an_export_cut_in_the_tail_is_found_by_its_first_line(world: World) -> None:
    export = world.export()
    lines = export.read_text().splitlines(keepends=True)
    export.write_text("".join(lines[:-2]))
    assert world.faults(export) == [(None, "there are 27 events, 29 by the first line")]


def test_a_line_that_is_no_event_is_found(world: World) -> None:
    export = world.export()
    lines = export.read_text().splitlines(keepends=True)
    for broken in ("\n", "[]\n", '{"position": 15}\n', lines[15].replace('"version"', '"verse"')):
        export.write_text("".join([*lines[:15], broken, *lines[16:]]))
        faults = world.faults(export)
        assert (15, "its line is not that of an event") in faults
        assert interval(world) in faults


def test_an_erased_event_is_no_fault(world: World) -> None:
    [stream] = {row.stream_id for row in world.rows() if row.position == VICTIM}
    world.change("UPDATE events SET personal = NULL WHERE stream_id = ?", stream.hex)
    assert GONE in world.faults() and GONE in world.live_faults()
    # As the log's erasure leaves it: its event comes after all it erases.
    world.change(
        "INSERT INTO events SELECT 30, stream_id, 5, 'chat.erased', 1, payload, NULL,"
        " payload_digest, NULL, meta, recorded_at FROM events WHERE position = 16"
    )
    assert world.faults() == []
    assert world.live_faults() == []


def test_words_that_go_after_the_erasure_of_their_stream_are_a_fault(world: World) -> None:
    world.change("UPDATE events SET topic = 'chat.erased' WHERE position = 14")
    world.change("UPDATE events SET personal = NULL WHERE position = ?", VICTIM)
    assert GONE in world.faults()
    assert GONE in world.live_faults()


def test_withheld_words_are_no_fault_and_their_digests_still_count(world: World) -> None:
    assert world.faults(world.export_without_words()) == []
    world.change("UPDATE events SET personal_digest = ? WHERE position = ?", bytes(32), VICTIM)
    assert world.faults(world.export_without_words()) == [interval(world)]


def test_another_key_is_not_trusted(world: World) -> None:
    """As whoever changes events would sign for them, without the log's key."""
    trusted = world.key
    (world.data_dir / KEY_FILE).unlink()
    for file in world.checkpoints.iterdir():
        file.unlink()
    world.seal()
    [last] = world.checkpoints.iterdir()
    assert world.faults(None, trusted) == [
        (None, f"{last} is not signed with a key that is trusted"),
        (None, "there is no checkpoint to tell what was sealed"),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\n21\n", "\n22\n"),
        ("\n21\n", "\n021\n"),
        ("\n\n", "\nmore\n\n"),
        ("\n\n", "\n"),
        ("\u2014", "-"),
        ("=\n\n", "\n\n"),
    ],
)
def test_an_edited_checkpoint_is_found(before: str, after: str, world: World) -> None:
    last = world.checkpoints / "000000000021.checkpoint"
    note = last.read_text()
    assert before in note
    last.write_text(note.replace(before, after, 1))
    assert world.faults() == [(None, f"{last} is not a checkpoint as it was signed")]


def test_a_checkpoint_of_another_log_is_found(world: World) -> None:
    other = World(_folder_beside(world))
    other.converse(1)
    other.seal()
    [foreign] = other.checkpoints.iterdir()
    moved = foreign.rename(world.checkpoints / foreign.name)
    assert world.faults(None, world.key, other.key) == [
        (None, f"{moved} is of another log, dabir/{other.log_id()}")
    ]
    assert world.faults(None, world.key) == [
        (None, f"{moved} is not signed with a key that is trusted")
    ]


def test_a_history_rebuilt_and_signed_with_the_right_key_is_found(world: World) -> None:
    """By one checkpoint from before: whoever has the key can sign, but not unsign."""
    changed("topic", "chat.renamed")(world)
    forge(world, 21, world.data_dir.parent / "forged")
    for file in world.checkpoints.iterdir():
        if file.name.startswith("000000000013"):
            file.unlink()
    held = world.checkpoints / "000000000021.checkpoint"
    forged = forge(world, 29, world.checkpoints)
    assert world.faults() == [(None, f"forked: {held} was signed for another history than this")]
    assert forged.exists()


def test_two_checkpoints_of_one_size_are_a_fork(world: World) -> None:
    changed("topic", "chat.renamed")(world)
    forged = forge(world, 21, world.checkpoints / "again")
    forged.rename(world.checkpoints / "forged.checkpoint")
    held = world.checkpoints / "000000000021.checkpoint"
    forged = world.checkpoints / "forged.checkpoint"
    assert (None, f"forked: {held} and {forged} differ, and both are signed") in world.faults()


def test_stored_hashes_changed_with_their_event_are_found(world: World) -> None:
    """The live check believes the tree in nothing but in which event it is."""
    changed("topic", "chat.renamed")(world)
    frontier = Frontier()
    hashes = [hash_of(row) for row in world.rows()[:21]]
    for each in hashes:
        frontier.add(each)
    world.change("UPDATE audit_tiles SET hashes = ? WHERE level = 0", b"".join(hashes))
    live = world.live_faults()
    assert (None, "the first 21 events are not those that were signed for") in live
    assert (None, "the stored hashes do not give the root signed at 21 events") in live


def test_a_stored_checkpoint_that_was_edited_is_found(world: World) -> None:
    world.change("UPDATE audit_checkpoints SET note = replace(note, '21', '20') WHERE size = 21")
    assert world.live_faults() == [(None, "the checkpoint of 21 events is not as it was signed")]


def forge(world: World, size: int, folder: Path) -> Path:
    """Sign for the log as it is now, with its own key, past all that the sealer checks."""
    frontier = Frontier()
    for row in world.rows()[:size]:
        frontier.add(hash_of(row))
    root = frontier.root()
    note = load_signer(world.data_dir, world.log_id()).checkpoint(size, root)
    to_folder(folder)(Checkpoint(size=size, root=root, note=note, signed_at=0))
    return folder / f"{size:012}.checkpoint"


def _folder_beside(world: World) -> Path:
    folder = world.data_dir.parent / "other"
    folder.mkdir()
    return folder
