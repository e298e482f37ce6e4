"""`dabir db`, as people and scripts have it, with the settings of either engine."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from infrastructure.database import sync_writer_engine
from infrastructure.event_store.migrations.at_start import NEWEST, VERSION_TABLE
from infrastructure.event_store.schema import set_up

ROOT = Path(__file__).parents[2]

Dabir = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'events.db'}"
    database_url: str = request.getfixturevalue("database_url")
    return database_url


@pytest.fixture
def dabir(url: str, tmp_path: Path) -> Dabir:
    """Runs `dabir db …` on that database."""
    environ = os.environ | {"DABIR_DATA_DIR": str(tmp_path), "DABIR_SECRET": "s" * 32}
    if not url.startswith("sqlite"):
        environ["DABIR_DATABASE_URL"] = url

    def run(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *python, str(ROOT / "dabir.py"), "db", *arguments],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def execute(url: str, *statements: str) -> None:
    engine = sync_writer_engine(url)
    with engine.begin() as connection:
        set_up(connection)
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_tables_of_this_release_agree(url: str, dabir: Dabir) -> None:
    execute(url)
    current = dabir("current", "--json")
    assert (current.returncode, current.stderr) == (0, "")
    assert json.loads(current.stdout) == {"stored": NEWEST, "code": NEWEST, "agree": True}
    again = dabir("upgrade")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == f"The tables have version {NEWEST} already.\n"


def test_tables_of_an_earlier_release_are_told_and_migrated(url: str, dabir: Dabir) -> None:
    execute(url, f"DROP TABLE {VERSION_TABLE}", "DROP TABLE view_runners")
    current = dabir("current")
    assert (current.returncode, current.stderr) == (1, "")
    assert [line.split()[-1] for line in current.stdout.splitlines()] == ["none", NEWEST, "no"]
    upgraded = dabir("upgrade", "--json")
    assert (upgraded.returncode, upgraded.stderr) == (0, "")
    assert json.loads(upgraded.stdout) == {"from": None, "to": NEWEST}
    assert dabir("current").returncode == 0


def test_tables_of_a_later_release_are_refused(url: str, dabir: Dabir) -> None:
    execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    current = dabir("current", "--json")
    assert current.returncode == 1
    assert json.loads(current.stdout) == {"stored": "9999", "code": NEWEST, "agree": False}
    refused = dabir("upgrade")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("dabir: the log's tables are of a later release (9999, ")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_an_empty_database_is_set_up_before_the_first_node(dabir: Dabir) -> None:
    assert json.loads(dabir("current", "--json").stdout)["stored"] is None
    upgraded = dabir("upgrade")
    assert (upgraded.returncode, upgraded.stderr) == (0, "")
    assert upgraded.stdout == f"The tables were migrated from version none to {NEWEST}.\n"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_folder_without_a_log_stays_without(dabir: Dabir, tmp_path: Path) -> None:
    for what in ("current", "upgrade"):
        refused = dabir(what)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == f"dabir: {tmp_path} holds no log.\n"
    assert list(tmp_path.iterdir()) == []


def test_looking_imports_nothing_heavy(url: str, dabir: Dabir) -> None:
    execute(url)
    done = dabir("current", python=("-X", "importtime"))
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "infrastructure.event_store.migrations.log_tables" in loaded
    assert loaded.isdisjoint({"alembic", "litellm", "sqlalchemy.ext.asyncio"})
