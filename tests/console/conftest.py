"""One server whose log and views belong to these tests alone, and an operator who asks it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.service import Service, bearer
from tests.upstream import Upstream

ADMIN = "/api/v1/admin"


class Operator:
    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def get(self, route: str, **query: Any) -> Any:
        """The answer below `/api/v1/admin/`."""
        response = self.client.get(f"{ADMIN}/{route}", params=query)
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        return response.json()

    def post(self, route: str) -> httpx.Response:
        return self.client.post(f"{ADMIN}/{route}")


@pytest.fixture(scope="session")
def watched(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("console") / "data"
    environ = {"DABIR_STARTING_BALANCE": "5", "DABIR_AUDIT_INTERVAL": "200ms"}
    with Service(folder, upstream.api_base, environ=environ) as service:
        yield service.wait_ready()


@pytest.fixture
def operator(watched: Service) -> Iterator[Operator]:
    headers = bearer("operator", "dabir:admin")
    with httpx.Client(base_url=watched.url, headers=headers, timeout=30) as client:
        yield Operator(client)
