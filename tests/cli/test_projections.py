"""`dabir projections`, as people and scripts have it."""

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infrastructure.projections.generation import VIEWS_VERSION
from tests.projections.places import in_folder
from tests.projections.test_filling import lived
from tests.projections.test_rebuilds import planted
from tests.service import until

ROOT = Path(__file__).parents[2]

OPERATOR = """
import sys
from contextlib import contextmanager
from functools import partial

from interfaces.cli.app import build_app, run
from interfaces.cli.projections import add_projections


@contextmanager
def opened(data_dir):
    from infrastructure.database import sync_reader_engine, sync_writer_engine
    from infrastructure.event_store.codec import codec
    from infrastructure.projections import filling
    from infrastructure.projections.desk import SqlProjections
    from infrastructure.projections.shelf import generations_of

    filling.BATCH, filling.COMMITTED = 50, 1
    url = f"sqlite:///{data_dir / 'events.db'}"
    shelf = generations_of(data_dir)
    yield SqlProjections(shelf, sync_writer_engine(url), sync_reader_engine(url), codec)


group = partial(add_projections, open_projections=opened)
code = run(build_app(lambda flags: 0, lambda flags: "", [group]))
if "show-modules" in sys._xoptions:
    print(*sorted(sys.modules))
sys.exit(code)
"""


def command(folder: Path, *arguments: str, python: tuple[str, ...] = ()) -> list[str]:
    whole = [sys.executable, *python, "-c", OPERATOR, "projections", *arguments]
    return [*whole, "--data-dir", str(folder)] if "--help" not in arguments else whole


def projections(
    folder: Path, *arguments: str, python: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *arguments, python=python),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a log and its views."""
    lived(tmp_path, seed=1, steps=150)
    return tmp_path


def test_the_status_is_one_object_for_machines(folder: Path) -> None:
    done = projections(folder, "status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    status = json.loads(done.stdout)
    assert list(status) == [
        *("code_version", "generation", "position", "head", "lag", "bytes"),
        *("set_aside", "build", "server", "runner"),
    ]
    assert (status["code_version"], status["generation"]) == (VIEWS_VERSION, "1")
    assert status["position"] == status["head"] > 0
    assert status["bytes"] > 0


def test_the_status_is_lines_for_people(folder: Path) -> None:
    done = projections(folder, "status")
    assert done.returncode == 0
    assert "live generation" in done.stdout
    assert "streams set aside" in done.stdout


def test_a_rebuild_loses_what_no_replay_can_make(folder: Path) -> None:
    planted(in_folder(folder))
    found = projections(folder, "verify", "--json")
    assert found.returncode == 1
    (difference,) = json.loads(found.stdout)["differences"]
    assert (difference["table"], difference["rebuilt"]) == ("chat_counts", None)
    rebuilt = projections(folder, "rebuild")
    assert (rebuilt.returncode, rebuilt.stderr) == (0, "")
    assert rebuilt.stdout.startswith("Generation 2 is live at position ")
    verified = projections(folder, "verify")
    assert verified.returncode == 0
    assert verified.stdout.startswith("Generation 2 is what the log says at position ")
    assert in_folder(folder).generations() == ["2"]


def test_differences_are_a_table_for_people(folder: Path) -> None:
    planted(in_folder(folder))
    found = projections(folder, "verify")
    assert found.returncode == 1
    assert found.stdout.splitlines()[0].split() == ["table", "key", "column", "live", "rebuilt"]
    assert "chat_counts" in found.stdout


def test_a_build_whose_process_was_killed_is_resumed(folder: Path) -> None:
    line = "filling.BATCH, filling.COMMITTED = 50, 1"
    dies_at_150 = OPERATOR.replace(
        line,
        f"{line}\n"
        "    import os, signal\n"
        "    die = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    run = filling.Filling.run\n"
        "    filling.Filling.run = lambda build, until, reached, lock: run(\n"
        "        build, until, lambda position: die() if position >= 150 else None, lock\n"
        "    )",
    )
    killed = subprocess.run(
        [sys.executable, "-c", dies_at_150, "projections", "rebuild", "--data-dir", folder],
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    # The process of its texts ends by itself, and holds the build until then.
    until(lambda: status_of(folder)["build"]["state"] == "broken off")
    assert status_of(folder)["build"]["position"] in (100, 150)
    refused = projections(folder, "rebuild")
    assert refused.returncode == 3
    assert "resume" in refused.stderr
    assert projections(folder, "resume").returncode == 0
    assert projections(folder, "verify").returncode == 0
    assert in_folder(folder).generations() == ["2"]


def status_of(folder: Path) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(projections(folder, "status", "--json").stdout)
    return status


def test_nothing_to_resume_or_cancel_is_a_refusal(folder: Path) -> None:
    for what in ("resume", "cancel"):
        done = projections(folder, what)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == "dabir: No build of the views is under way.\n"


def test_a_poison_event_is_named_and_the_build_can_be_taken_back(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "events.db", isolation_level=None)) as log:
        # Of a chat that stays: what was said in one that goes is not even looked at.
        (position,) = log.execute(
            "SELECT min(position) FROM events WHERE topic = 'chat.message-sent' AND stream_id"
            " NOT IN (SELECT stream_id FROM events WHERE topic IN ('chat.deleted', 'chat.erased'))"
        ).fetchone()
        log.execute(
            "UPDATE events SET payload = replace(payload, '\"parent_id\":null', ?)"
            " WHERE position = ?",
            ('"parent_id":"00000000-0000-0000-0000-000000000001"', position),
        )
    done = projections(folder, "rebuild", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["view"], found["position"], found["error"]) == ("messages", position, "KeyError")
    assert f"position {position}" in done.stderr
    cancelled = projections(folder, "cancel")
    assert (cancelled.returncode, cancelled.stdout) == (
        0,
        "The build of generation 2 was taken back.\n",
    )
    assert in_folder(folder).generations() == ["1"]


def test_ctrl_c_leaves_a_build_that_can_be_gone_on_with(folder: Path) -> None:
    wait_for_ever = OPERATOR.replace(
        "filling.BATCH, filling.COMMITTED = 50, 1",
        "import os, signal\n"
        "    filling.Filling.run = lambda *_: os.kill(os.getpid(), signal.SIGINT)",
    )
    done = subprocess.run(
        [sys.executable, "-c", wait_for_ever, "projections", "rebuild", "--data-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130
    assert "dabir projections resume" in done.stderr
    assert projections(folder, "resume").returncode == 0


@pytest.mark.parametrize("what", ["status", "verify"])
def test_reading_commands_import_nothing_heavy(folder: Path, what: str) -> None:
    done = projections(folder, what, "--json", python=("-X", "show-modules"))
    assert done.returncode == 0
    loaded = set(done.stdout.split())
    assert "infrastructure.projections.desk" in loaded
    assert loaded.isdisjoint({"litellm", "structlog", "sqlalchemy.ext.asyncio", "rich"})
