"""Libraries that are loaded only when something uses them."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.late_imports import imported_late
from tests.service import ROOT

SELDOM = (
    "aiohttp",
    "pydantic.v1",
    "requests",
    "sqlalchemy.dialects.postgresql",
    "websocket",
    "yaml",
)


def test_a_late_library_is_loaded_by_its_first_use_and_at_once_by_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy.py").write_text("SIZE = 7\n")
    (tmp_path / "user_of_heavy.py").write_text("import heavy\ndef size(): return heavy.SIZE\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with imported_late("heavy"):
        user = importlib.import_module("user_of_heavy")
    assert "heavy" not in sys.modules
    try:
        assert user.size() == 7
        heavy = sys.modules["heavy"]
        assert importlib.import_module("heavy") is heavy
        assert user.heavy is not heavy
        with imported_late("heavy"):
            assert sys.modules["heavy"] is heavy
        with pytest.raises(AttributeError):
            _ = user.heavy.nothing
    finally:
        sys.modules.pop("heavy", None)
        del sys.modules["user_of_heavy"]


def test_a_server_listens_before_it_loads_what_it_seldom_uses(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-X", "importtime", ROOT / "dabir.py", "serve", "--port", "0"],
        env={"DABIR_DATA_DIR": str(tmp_path)},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    loaded = set()
    try:
        assert server.stderr
        for line in server.stderr:
            if '"serving"' in line:
                break
            loaded.add(line.rpartition("|")[2].strip())
        assert {"litestar", "socketio", "sqlalchemy"} < loaded
        assert not loaded.intersection(SELDOM)
    finally:
        server.kill()
        server.communicate()
