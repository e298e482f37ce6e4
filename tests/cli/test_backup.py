"""`dabir backup` and `dabir restore`, in processes of their own."""

import json
import shutil
from pathlib import Path

import pytest

from tests.ledger.given import Conversation
from tests.ledger.process import dabir, objects


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """A backup beside the folder `live`; an empty folder `new` is there too."""
    for name in ("live", "new"):
        (tmp_path / name).mkdir()
    Conversation(tmp_path / "live" / "events.db")
    assert objects(tmp_path / "live", "backup", str(tmp_path / "copy"))[0]["head"] == 14
    return tmp_path / "copy"


def test_what_was_backed_up_comes_back(taken: Path, tmp_path: Path) -> None:
    live, new = tmp_path / "live", tmp_path / "new"
    events = objects(live, "events")
    shutil.copy(live / "keys.db", new)
    done = dabir(new, "restore", str(taken), "--json")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["head"] == 14
    assert objects(new, "events") == events


def test_a_restore_without_the_list_of_who_was_erased_is_refused(
    taken: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    for _ in range(2):  # the first refusal makes none
        refused = dabir(new, "restore", str(taken))
        assert refused.returncode == 3
        assert b"no keys.db" in refused.stderr
        assert not (new / "events.db").exists()
    assert dabir(new, "restore", str(taken), "--keys-lost").returncode == 0
    assert len(objects(new, "events")) == 14
