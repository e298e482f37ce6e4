import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _only_the_settings_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith("DABIR_")]:
        monkeypatch.delenv(name)
