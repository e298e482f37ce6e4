"""Proofs from the stored tree, checked by the auditor's file."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from application.audit import ConsistencyProof, EventDamaged, InclusionProof, NotSealed
from interfaces.cli.audit_verify import check
from tests.audit.given import World


def faults_of(world: World, proof: object) -> list[tuple[int | None, str]]:
    path = world.data_dir.parent / "proof.json"
    path.write_bytes(proof if isinstance(proof, bytes) else msgspec.json.encode(proof))
    auditor = world.auditor()
    check(path, auditor)
    return auditor.faults


def inclusion(world: World, position: int, size: int | None = None) -> InclusionProof:
    with world.trail() as trail:
        return trail.prove_inclusion(position, size)


def consistency(world: World, old: int, new: int) -> ConsistencyProof:
    with world.trail() as trail:
        return trail.prove_consistency(old, new)


def test_every_sealed_event_is_proven_by_each_checkpoint_that_has_it(world: World) -> None:
    for size in (13, 21):
        for position in range(1, size + 1):
            assert faults_of(world, inclusion(world, position, size)) == []
    assert "\n21\n" in inclusion(world, 5).checkpoint


def test_every_checkpoint_is_proven_to_continue_those_before(world: World) -> None:
    world.seal()
    for old, new in ((13, 21), (13, 29), (21, 29), (21, 21)):
        assert faults_of(world, consistency(world, old, new)) == []


@pytest.mark.parametrize(("position", "size"), [(22, None), (0, None), (14, 13)])
def test_what_is_not_sealed_is_not_proven(position: int, size: int | None, world: World) -> None:
    with pytest.raises(NotSealed, match=f"position {position} is not among"):
        inclusion(world, position, size)


def test_nothing_is_proven_without_a_checkpoint(world: World) -> None:
    with pytest.raises(NotSealed, match="no checkpoint of 14 events"):
        inclusion(world, 1, 14)
    with pytest.raises(NotSealed, match="no checkpoint of 20 events"):
        consistency(world, 13, 20)
    with pytest.raises(NotSealed, match="21 is not before 13"):
        consistency(world, 21, 13)


def test_a_changed_event_is_not_proven(world: World) -> None:
    world.change("UPDATE events SET topic = 'chat.renamed' WHERE position = 15")
    with pytest.raises(EventDamaged, match="position 15"):
        inclusion(world, 15)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("leaf", lambda leaf: leaf.replace("chat.", "chit.")),
        ("position", lambda position: position + 1),
        ("path", lambda path: path[1:]),
        ("path", lambda path: path[::-1]),
    ],
)
def test_a_changed_inclusion_proof_fails(field: str, change: Any, world: World) -> None:
    proof = json.loads(msgspec.json.encode(inclusion(world, 15)))
    proof[field] = change(proof[field])
    [(_, what)] = faults_of(world, json.dumps(proof).encode())
    assert what == "not proven to be one of the 21 events"


def test_a_changed_consistency_proof_fails(world: World) -> None:
    proof = json.loads(msgspec.json.encode(consistency(world, 13, 21)))
    for path in (proof["path"][1:], proof["path"][::-1], proof["path"][:0]):
        changed = json.dumps(proof | {"path": path}).encode()
        assert faults_of(world, changed) == [(None, "21 events not proven to begin with the 13")]
    swapped = json.dumps(proof | {"old": proof["new"], "new": proof["old"]}).encode()
    assert faults_of(world, swapped) == [(None, "13 events not proven to begin with the 21")]


def test_a_proof_whose_checkpoint_is_not_signed_fails(world: World) -> None:
    proof = json.loads(msgspec.json.encode(inclusion(world, 15)))
    proof["checkpoint"] = proof["checkpoint"].replace("\n21\n", "\n22\n")
    [(_, what)] = faults_of(world, json.dumps(proof).encode())
    assert what == "the proof's checkpoint is not a checkpoint as it was signed"


def test_a_proof_against_another_history_than_the_auditor_holds_fails(
    world: World, tmp_path: Path
) -> None:
    proof = inclusion(world, 15)
    held = world.checkpoints / "000000000021.checkpoint"
    from tests.audit.test_tampering import changed, forge

    changed("topic", "chat.renamed")(world)
    held.unlink()
    forge(world, 21, world.checkpoints)
    [(_, what)] = faults_of(world, proof)
    assert what == f"forked: {held} and the proof's checkpoint differ, and both are signed"
