from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.upstream import Upstream


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def anon_id() -> str:
    """An anonymous visitor whom no other test knows."""
    return f"visitor-{uuid4()}"
