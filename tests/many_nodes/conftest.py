from collections.abc import Iterator

import pytest

from tests.engines import Postgres, Valkey
from tests.many_nodes.nodes import serving
from tests.service import Service
from tests.upstream import Upstream


@pytest.fixture(scope="session")
def nodes(
    postgres: Postgres,
    valkey: Valkey,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Service]]:
    """Three nodes with everything shared. None may be killed."""
    database = postgres.create()
    folder = tmp_path_factory.mktemp("nodes")
    with serving(folder, upstream.api_base, 3, database, valkey.url) as nodes:
        yield nodes
    postgres.drop(database)
