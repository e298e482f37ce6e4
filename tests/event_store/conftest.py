from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each engine that the log runs on."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'events.db'}"
    database_url: str = request.getfixturevalue("database_url")
    return database_url
