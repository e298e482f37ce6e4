from collections.abc import Iterator

import pytest

from infrastructure.language_model import litellm_library
from tests.upstream import Upstream


@pytest.fixture(scope="session")
def litellm_loaded() -> None:
    """Seconds that belong to no test's deadline."""
    litellm_library.load()


@pytest.fixture
def upstream(litellm_loaded: None) -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream
