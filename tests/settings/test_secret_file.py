"""The secret that is made once in the data folder."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from pydantic import SecretStr

from application.errors import ConfigurationError
from infrastructure.settings import load_secret


def test_it_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    secret = load_secret(folder, None)
    file = folder / "secret.key"
    assert len(secret) == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert load_secret(folder, None) == secret
    assert os.listdir(folder) == ["secret.key"]


def test_the_configured_secret_goes_before_it(tmp_path: Path) -> None:
    assert load_secret(tmp_path / "data", SecretStr("y" * 32)) == b"y" * 32
    assert not (tmp_path / "data").exists()


def test_its_content_can_become_the_configured_secret(tmp_path: Path) -> None:
    secret = load_secret(tmp_path, None)
    shown = (tmp_path / "secret.key").read_text()
    assert load_secret(tmp_path / "elsewhere", SecretStr(shown)) == secret


def test_those_who_start_together_agree_on_one(tmp_path: Path) -> None:
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        together = Barrier(8)

        def start(folder: Path = folder, together: Barrier = together) -> bytes:
            together.wait()
            return load_secret(folder, None)

        with ThreadPoolExecutor(8) as pool:
            answers = {start.result() for start in [pool.submit(start) for _ in range(8)]}
        assert answers == {(folder / "secret.key").read_bytes()}
        assert os.listdir(folder) == ["secret.key"]


@pytest.mark.parametrize("content", ["", "short\n"])
def test_one_that_was_cut_short_stops_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret.key").write_text(content)
    with pytest.raises(ConfigurationError, match=r"secret\.key must hold at least 32 bytes"):
        load_secret(tmp_path, None)


def test_a_folder_that_cannot_be_one_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be made or read"):
        load_secret(tmp_path / "data", None)
