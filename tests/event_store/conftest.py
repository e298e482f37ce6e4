from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each engine that the log runs on."""
    assert request.param == "sqlite"
    return f"sqlite:///{tmp_path / 'events.db'}"
