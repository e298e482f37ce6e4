from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.projections import schemas
from tests.projections.given import Given, given_views
from tests.projections.places import Home, Place, Schema, in_folder


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Of views that nobody has made yet, on each engine."""
    if request.param == "sqlite":
        return tmp_path / "views-1.db"
    return Schema(request.getfixturevalue("database_url"), schemas.name_of("1"))


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """Of an empty log and its views, on each engine."""
    if request.param == "sqlite":
        return in_folder(tmp_path)
    return Home(tmp_path, request.getfixturevalue("database_url"))


@pytest.fixture
def given(place: Place) -> Iterator[Given]:
    """Empty views."""
    with given_views(place) as views:
        yield views
