from uuid import uuid4

import pytest


@pytest.fixture
def anon_id() -> str:
    """An anonymous visitor whom no other test knows."""
    return f"visitor-{uuid4()}"
