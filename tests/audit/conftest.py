from pathlib import Path

import pytest

from tests.audit.given import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Events 1 to 13 sealed, then 14 to 21, and 22 to 29 not yet."""
    world = World(tmp_path)
    world.converse(2)
    world.seal()
    world.converse(1)
    world.seal()
    world.converse(1)
    return world
