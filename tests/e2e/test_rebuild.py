"""Rebuilding the views beside a running server: nobody notices, and what is planted is gone."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.service import Service, bearer, send
from tests.upstream import Upstream

ADA = bearer("ada-of-the-tests")


@pytest.fixture(scope="module")
def own_service(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("rebuild") / "data"
    with Service(folder, upstream.api_base, environ={"DABIR_STARTING_BALANCE": "5"}) as service:
        yield service.wait_ready()


def views_of(data_dir: Path) -> list[str]:
    return sorted(path.name for path in data_dir.glob("views-*.db"))


def balance_of(service: Service, sub: str) -> str:
    answer = httpx.get(
        f"{service.url}/api/v1/admin/usage/user:{sub}", headers=bearer("boss", "dabir:admin")
    )
    answer.raise_for_status()
    balance: str = answer.json()["balance"]
    return balance


def test_a_planted_row_is_found_and_lost(own_service: Service) -> None:
    service = own_service
    send(service, ADA, "hello", model="paid")
    (live,) = views_of(service.data_dir)
    honest = balance_of(service, "ada-of-the-tests")
    with sqlite3.connect(service.data_dir / live, timeout=10) as views:
        views.execute("UPDATE accounts SET topped_up = topped_up + 1000000000000")
    assert balance_of(service, "ada-of-the-tests") != honest

    found = service.dabir("projections", "verify", "--json")
    assert found.returncode == 1
    differences = json.loads(found.stdout)["differences"]
    assert [(each["table"], each["column"]) for each in differences] == [("accounts", "topped_up")]

    assert service.dabir("projections", "rebuild").returncode == 0
    assert live not in views_of(service.data_dir)
    assert balance_of(service, "ada-of-the-tests") == honest
    assert service.dabir("projections", "verify").returncode == 0


def test_rebuilding_under_load_ends_equal_to_the_live_views_and_nothing_is_missed(
    own_service: Service,
) -> None:
    service = own_service
    enough = threading.Event()
    sent: list[str] = []

    def talk(name: str) -> None:
        while not enough.is_set():
            word = f"word-{uuid4()}"
            complete = send(service, bearer(name), word, model="free")[-2]
            assert complete.name == "assistant_complete"
            sent.append(word)

    talkers = [threading.Thread(target=talk, args=(f"talker-{n}",)) for n in range(3)]
    for talker in talkers:
        talker.start()
    try:
        for _ in range(3):
            before = views_of(service.data_dir)
            done = service.dabir("projections", "rebuild", "--json")
            assert done.returncode == 0, done.stderr
            assert views_of(service.data_dir) != before
            assert len(views_of(service.data_dir)) == 1
    finally:
        enough.set()
        for talker in talkers:
            talker.join()
    assert sent
    verified = service.dabir("projections", "verify")
    assert verified.returncode == 0, verified.stdout
    status = json.loads(service.dabir("projections", "status", "--json").stdout)
    assert (status["lag"], status["set_aside"], status["build"]) == (0, [], None)
    (live,) = views_of(service.data_dir)
    with sqlite3.connect(service.data_dir / live) as views:
        texts = {text for (text,) in views.execute("SELECT content FROM texts")}
    assert set(sent) <= texts


def test_a_second_rebuild_at_once_is_refused_and_harms_nothing(own_service: Service) -> None:
    service = own_service
    codes: list[int] = []

    def rebuild() -> None:
        codes.append(service.dabir("projections", "rebuild").returncode)

    both = [threading.Thread(target=rebuild) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert sorted(codes) in ([0, 0], [0, 3])
    assert service.dabir("projections", "verify").returncode == 0
