"""`dabir audit`, and the auditor's file by itself."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from application.audit import AuditTrail
from infrastructure.audit.trail import open_trail
from infrastructure.system import SystemClock
from interfaces.cli import audit_verify
from interfaces.cli.app import build_app, run
from interfaces.cli.audit import add_audit
from tests.audit.given import World

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.converse(2)
    world.seal()
    world.converse(1)
    return world


def dabir(world: World, *arguments: object) -> int:
    @contextmanager
    def open_here(data_dir: Path | None) -> Iterator[AuditTrail]:
        assert data_dir is not None
        with open_trail(data_dir, clock=SystemClock(), target=str(world.checkpoints)) as trail:
            yield trail

    app = build_app(lambda flags: 0, lambda flags: "", [partial(add_audit, open_trail=open_here)])
    return run(app, ["audit", *map(str, arguments)])


def in_folder(world: World) -> tuple[str, Path]:
    return "--data-dir", world.data_dir


def by_its_auditor(world: World) -> tuple[object, ...]:
    return "--key", world.key, "--checkpoints", world.checkpoints


def test_seal_signs_once_and_says_what_is_left(world: World, capsys: Captured) -> None:
    assert dabir(world, "seal", "--json", *in_folder(world)) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["sealed"], first["new"], first["unsealed"], first["delivered"]) == (
        *(21, True),
        *(0, 1),
    )
    assert dabir(world, "seal", *in_folder(world)) == 0
    assert "new        False" in capsys.readouterr().out
    assert len(list(world.checkpoints.iterdir())) == 2


def test_a_fork_is_refused_with_code_3(world: World, capsys: Captured) -> None:
    world.change("UPDATE events SET recorded_at = 1 WHERE position = 13")
    assert dabir(world, "seal", *in_folder(world)) == 3
    assert capsys.readouterr().err.startswith("dabir: position 13 was sealed, and is not in the")


def test_what_could_not_be_delivered_is_said_and_is_code_1(world: World, capsys: Captured) -> None:
    shutil.rmtree(world.checkpoints)
    world.checkpoints.write_text("a file where the folder was")
    assert dabir(world, "seal", "--json", *in_folder(world)) == 1
    told = capsys.readouterr()
    assert "dabir: signed, but not delivered" in told.err
    assert json.loads(told.out)["new"] is True


def test_checkpoints_are_listed_for_people_and_machines(world: World, capsys: Captured) -> None:
    world.seal()
    assert dabir(world, "checkpoints", "--json", *in_folder(world)) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(line) for line in lines] == [
        ["size", "root", "signed_at", "delivered_at", "note"]
    ] * 2
    assert [line["size"] for line in lines] == [13, 21]
    assert lines[1]["note"] == (world.checkpoints / "000000000021.checkpoint").read_text()
    assert dabir(world, "checkpoints", "--last", 1, *in_folder(world)) == 0
    header, only = capsys.readouterr().out.splitlines()
    assert header.split() == ["size", "root", "signed", "delivered"]
    assert only.split()[:2] == ["21", lines[1]["root"]]


def test_checkpoints_can_be_written_for_an_auditor(world: World, tmp_path: Path) -> None:
    world.seal()
    assert dabir(world, "checkpoints", "--to", tmp_path / "out", *in_folder(world)) == 0
    held = {path.name: path.read_text() for path in world.checkpoints.iterdir()}
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == held


def test_key_prints_what_the_auditor_checks_with(world: World, capsys: Captured) -> None:
    assert dabir(world, "key", *in_folder(world)) == 0
    assert capsys.readouterr().out == f"{world.key}\n"
    assert (world.data_dir / "audit.key").stat().st_mode & 0o777 == 0o600


def test_proofs_are_checked_by_the_same_command(
    world: World, capsys: Captured, tmp_path: Path
) -> None:
    world.seal()
    for proof in (("inclusion", 5), ("inclusion", 5, "--size", 13), ("consistency", 13, 21)):
        assert dabir(world, "prove", *proof, *in_folder(world)) == 0
        path = tmp_path / "proof.json"
        path.write_text(capsys.readouterr().out)
        assert dabir(world, "verify", path, *by_its_auditor(world)) == 0
        assert "faults: 0" in capsys.readouterr().out
    assert dabir(world, "prove", "inclusion", 22, *in_folder(world)) == 3
    assert "position 22 is not among the 21 events sealed" in capsys.readouterr().err


def test_an_export_is_verified_by_key_and_checkpoints_alone(world: World, capsys: Captured) -> None:
    export = world.export()
    assert dabir(world, "verify", export, "--json", *by_its_auditor(world)) == 0
    assert json.loads(capsys.readouterr().out) == {
        "events": 21,
        "sealed": 13,
        "unsealed": 8,
        "checkpoints": 1,
        "personal": True,
        "faults": 0,
    }
    world.change("UPDATE events SET payload = ? WHERE position = 2", b"{}")
    assert dabir(world, "verify", world.export(), "--json", *by_its_auditor(world)) == 1
    fault = json.loads(capsys.readouterr().out.splitlines()[0])
    assert fault == {"position": 2, "what": "payload is not what payload_digest is of"}


def test_the_log_itself_is_verified_to_the_position(world: World, capsys: Captured) -> None:
    assert dabir(world, "verify", *in_folder(world)) == 0
    assert "faults    0" in capsys.readouterr().out
    world.change("UPDATE events SET topic = 'chat.renamed' WHERE position = 2")
    assert dabir(world, "verify", "--json", *in_folder(world)) == 1
    fault, *_ = map(json.loads, capsys.readouterr().out.splitlines())
    assert fault["position"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify", "export.jsonl"), "--key is needed"),
        (("verify", "--key", "k"), "go with an export or a proof"),
        (("verify", "missing.jsonl", "--key", "k"), "k is neither an Ed25519 key"),
    ],
)
def test_a_wrong_use_is_one_line_and_code_2(
    arguments: tuple[str, ...], words: str, world: World, capsys: Captured
) -> None:
    assert dabir(world, *arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


def alone(world: World, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The auditor's file as it is handed over: in a folder of its own, with nothing of Dabir."""
    folder = world.data_dir.parent / "auditor"
    folder.mkdir(exist_ok=True)
    shutil.copy(audit_verify.__file__, folder)
    return subprocess.run(
        [sys.executable, "-P", "-X", "importtime", "audit_verify.py", *map(str, arguments)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_auditors_file_runs_without_dabir(world: World) -> None:
    (world.data_dir.parent / "key.txt").write_text(world.key + "\n")
    held = ("--key", world.data_dir.parent / "key.txt", "--checkpoints", world.checkpoints)
    done = alone(world, world.export(), *held)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "faults: 0")
    assert not {"interfaces", "infrastructure", "application", "dabir"} & {
        line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()
    }
    world.change("DELETE FROM events WHERE position = 3")
    done = alone(world, world.export(), *held, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[0])["position"] == 4


def test_the_auditors_file_says_what_it_cannot_use_with_code_2(world: World) -> None:
    export = world.export()
    for given in (
        [export],
        [export, "--key", "nonsense"],
        [world.data_dir / "no", "--key", world.key],
    ):
        assert alone(world, *given).returncode == 2
    export.write_text('{"format":"something else"}\n')
    done = alone(world, export, "--key", world.key)
    assert done.returncode == 2
    assert "is neither an export nor a proof of Dabir's" in done.stderr


def test_a_compressed_export_is_read_as_it_is(world: World) -> None:
    compressed = world.data_dir.parent / "export.jsonl.gz"
    compressed.write_bytes(gzip.compress(world.export().read_bytes()))
    assert world.faults(compressed) == []


def test_an_export_for_many_processes_is_verified_as_for_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.seal()
    world.change("UPDATE events SET payload = ? WHERE position = 20", b"{}")
    in_one = world.faults()
    monkeypatch.setattr(audit_verify, "BLOCK", 2)
    assert world.faults() == in_one != []
