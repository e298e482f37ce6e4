"""What is sealed, how often, and what is never signed."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from application.audit import Checkpoint, EventDamaged, HashesMissing, LogForked
from application.ledger.ports import StoredEvent
from infrastructure.audit.merkle import Frontier, leaf_hash, leaf_of
from infrastructure.audit.sealer import hash_of
from infrastructure.audit.signing import KEY_FILE
from infrastructure.event_store import stored
from tests.audit.given import LOG, World, unwatched


def root_of(world: World, size: int) -> bytes:
    frontier = Frontier()
    for row in world.rows()[:size]:
        frontier.add(hash_of(row))
    return frontier.root()


def seal(world: World) -> Checkpoint | None:
    with world.trail() as trail:
        return trail.seal(unwatched)


def test_a_leaf_is_one_line_of_header_and_digests() -> None:
    event = StoredEvent(
        position=7,
        stream_id=UUID(int=1),
        version=2,
        topic="chat.created",
        schema_version=1,
        payload=b"{}",
        personal=b"words",
        payload_digest=sha256(b"{}").digest(),
        personal_digest=sha256(b"words").digest(),
        meta=b'{"actor":null}',
        recorded_at=1_790_000_000_000_000,
    )
    assert leaf_of(event) == (
        "dabir-event/1 7 00000000-0000-0000-0000-000000000001 2 chat.created 1 1790000000000000 "
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a "
        f'{sha256(b"words").hexdigest()} {{"actor":null}}'
    )
    assert hash_of(event) == leaf_hash(leaf_of(event).encode())


def test_an_empty_log_is_not_signed_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.converse(0)
    assert seal(world) is None


def test_nothing_new_is_not_signed_for_again(world: World) -> None:
    assert seal(world) is not None
    assert seal(world) is None
    with world.trail() as trail:
        assert [each.size for each in trail.checkpoints()] == [13, 21, 29]
        assert [each.size for each in trail.checkpoints(2)] == [21, 29]
        assert trail.sealer.sealed == 29


def test_what_is_signed_is_the_root_of_the_log(world: World) -> None:
    with world.trail() as trail:
        for each in trail.checkpoints():
            assert each.root == root_of(world, each.size)


def test_a_long_log_is_sealed_in_batches_over_many_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "BATCH", 100)
    world = World(tmp_path)
    world.converse(140)
    first = seal(world)
    assert first is not None and first.size == 703 and first.root == root_of(world, 703)
    world.converse(60)
    second = seal(world)
    assert second is not None and second.size == 1006 and second.root == root_of(world, 1006)
    assert world.live_faults() == []
    world.deliver()
    assert world.faults() == []


def test_two_sealers_at_once_make_one_tree_and_no_fork(world: World) -> None:
    world.converse(30)
    with world.trail() as one, world.trail() as other, ThreadPoolExecutor() as threads:
        while one.sealer.advance():
            other.sealer.advance()
        signed = list(threads.map(lambda trail: trail.sealer.sign(), (one, other) * 4))
        assert [each.size for each in signed if each] == [one.head()]
        assert one.sealer.sealed == other.sealer.sealed == one.head()
    assert world.live_faults() == []


def test_a_sealer_that_another_overtook_leaves_its_own_work(world: World) -> None:
    with world.trail() as slow, world.trail() as fast:
        read = slow.sealer._events

        def overtaken(after: int) -> object:
            events = read(after)
            fast.sealer.advance()
            return events

        slow.sealer._events = overtaken  # type: ignore[method-assign, assignment]
        assert slow.sealer.advance()
        assert slow.sealer.size == fast.sealer.size == 29
        assert slow.sealer.sign()
    assert world.live_faults() == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("payload", b"{}"),
        ("personal", b"other words"),
        ("version", "one"),
        ("recorded_at", "then"),
        ("meta", b"\xff"),
    ],
)
def test_an_event_that_is_damaged_before_it_is_sealed_is_refused_by_name(
    column: str, value: object, world: World
) -> None:
    world.change(f"UPDATE events SET {column} = ? WHERE position = 23", value)
    with pytest.raises(EventDamaged, match=f"^position 23: {column} is not [a-z_ ]+$"):
        seal(world)
    with world.trail() as trail:
        assert trail.sealer.size == 21


def test_a_log_with_a_gap_is_refused(world: World) -> None:
    world.change("DELETE FROM events WHERE position = 24")
    with pytest.raises(EventDamaged, match="position 24 is missing"):
        seal(world)


def test_a_log_that_was_cut_is_not_signed_for(world: World) -> None:
    world.change("DELETE FROM events WHERE position > 20")
    with pytest.raises(LogForked, match="position 21 was sealed"):
        seal(world)


def test_a_log_that_was_cut_and_went_on_is_not_signed_for(world: World) -> None:
    world.change("UPDATE events SET recorded_at = recorded_at + 1 WHERE position = 21")
    with pytest.raises(LogForked, match="position 21 was sealed"):
        seal(world)


def test_stored_hashes_that_were_changed_are_not_signed_for(world: World) -> None:
    [(hashes,)] = world.query("SELECT hashes FROM audit_tiles")
    assert isinstance(hashes, bytes)
    changed = bytes(32) + hashes[32:]
    world.change("UPDATE audit_tiles SET hashes = ?", changed)
    with pytest.raises(LogForked, match="the first 21 events are not those"):
        seal(world)


def test_a_tree_smaller_than_what_was_signed_is_not_signed_for(world: World) -> None:
    [(hashes,)] = world.query("SELECT hashes FROM audit_tiles")
    assert isinstance(hashes, bytes)
    world.change("UPDATE audit_tiles SET hashes = ?", hashes[: 20 * 32])
    world.change("DELETE FROM events WHERE position > 20")
    with pytest.raises(LogForked, match="21 events were signed for, and here are only 20"):
        seal(world)


def test_lost_hashes_are_made_again_from_the_log(world: World) -> None:
    world.change("DELETE FROM audit_tiles")
    with world.trail() as trail, pytest.raises(HashesMissing):
        trail.prove_inclusion(5, None)
    assert (None, "the stored hashes do not give the root signed at 21 events") in (
        world.live_faults()
    )
    world.seal()
    assert world.live_faults() == []
    assert world.faults() == []


def test_hashes_made_again_are_not_signed_for_where_the_log_was_changed(world: World) -> None:
    world.change("UPDATE events SET topic = 'chat.renamed' WHERE position = 15")
    world.change("DELETE FROM audit_tiles")
    with pytest.raises(LogForked, match="the first 21 events are not those"):
        seal(world)


@pytest.mark.parametrize(
    "edited",
    [
        "note || ' '",
        "replace(note, substr(note, -10, 6), 'AAAAAA')",
        "replace(note, '\u2014', '-')",
        "replace(note, char(10) || '21' || char(10), char(10) || '20' || char(10))",
        "''",
    ],
)
def test_a_stored_checkpoint_that_was_edited_is_not_built_upon(edited: str, world: World) -> None:
    world.change(f"UPDATE audit_checkpoints SET note = {edited} WHERE size = 21")
    with pytest.raises(LogForked, match="checkpoint of 21 events is not as it was signed"):
        seal(world)


def test_an_older_copy_is_found_by_what_the_auditor_holds(world: World, tmp_path: Path) -> None:
    older = _copied(world, tmp_path / "older")
    world.seal()
    shutil.copytree(world.checkpoints, older.checkpoints)
    # What came after the copy was taken is not in it.
    older.change("DELETE FROM events WHERE position > 21")
    with pytest.raises(LogForked, match="29 events were signed for, and here are only 21"):
        seal(older)
    older.converse(3)
    with pytest.raises(LogForked, match="the first 29 events are not those"):
        seal(older)


def test_an_older_copy_is_found_by_its_witness(world: World) -> None:
    witness = Remembering()
    with world.trail(None, witness) as trail:
        trail.seal(unwatched)
    assert witness.known == {world.log_id(): 29}
    witness.known[world.log_id()] = 31
    world.converse(0)
    with world.trail(None, witness) as trail, pytest.raises(LogForked, match="31 events"):
        trail.seal(unwatched)


def test_a_new_key_goes_on_where_the_lost_one_ended(world: World) -> None:
    old = world.key
    (world.data_dir / KEY_FILE).unlink()
    world.seal()
    assert world.key != old
    assert world.faults(None, old, world.key) == []


class Remembering:
    """A witness in memory; the real one keeps this with the keys."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def sealed(self, log_id: str) -> int:
        return self.known.get(log_id, 0)

    def note_sealed(self, log_id: str, size: int) -> None:
        self.known[log_id] = size


def _copied(world: World, folder: Path) -> World:
    folder.mkdir()
    copy = World(folder)
    world.query("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in (LOG, KEY_FILE):
        shutil.copy(world.data_dir / name, copy.data_dir / name)
    return copy
