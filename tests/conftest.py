"""One upstream and one plain server for the tests of a worker; who needs its own starts one."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.engines import Postgres, Valkey, own_valkey_server, postgres_server, valkey_server
from tests.service import Service
from tests.upstream import Upstream

BROWSER = "tests/browser/"


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # carries no types
    """The tests of a file run in one process, and all that need a browser in the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = nodeid.split("::", 1)[0]
        return BROWSER if file.startswith(BROWSER) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that nobody waits for it alone."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("takes_minutes"):
        return 0
    return 1 if item.nodeid.startswith(BROWSER) else 2


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def service(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service") / "data"
    with Service(folder, upstream.api_base, environ={"DABIR_STARTING_BALANCE": "5"}) as service:
        yield service.wait_ready()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as postgres:
        yield postgres


@pytest.fixture(scope="session")
def emptied_databases() -> list[str]:
    """Databases that nothing is left in."""
    return []


@pytest.fixture
def database_url(postgres: Postgres, emptied_databases: list[str]) -> Iterator[str]:
    """An empty database on PostgreSQL."""
    url = emptied_databases.pop() if emptied_databases else postgres.create()
    yield url
    postgres.empty(url)
    emptied_databases.append(url)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """For all tests of a worker: none may kill it, or look at keys that are not its own."""
    with valkey_server() as valkey:
        yield valkey


@pytest.fixture
def mortal_valkey() -> Iterator[Valkey]:
    """A test's own, which it may kill and restart."""
    with own_valkey_server() as valkey:
        yield valkey


@pytest.fixture
def sub() -> str:
    """A user whom no other test knows."""
    return f"user-{uuid4()}"


@pytest.fixture
def visitor() -> dict[str, str]:
    """The headers of an anonymous visitor whom no other test knows."""
    return {"x-anon-id": f"visitor-{uuid4()}"}
