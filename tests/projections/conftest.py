from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.projections.given import Given, given_views


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Given]:
    """Empty views."""
    with given_views(tmp_path / "views-1.db") as views:
        yield views
