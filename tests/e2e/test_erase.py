"""Erasing beside a running server: everything that somebody wrote goes, everything else goes on."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.erasure.given import MASTER, words_in
from tests.service import Service, bearer, named, send, sending
from tests.upstream import Upstream

ALICE, BOB = "alice-of-the-tests", "bob-of-the-tests"
WORDS = "pomegranate-letters"
"""One word for every tokenizer, so that the search index would hold it whole."""


@pytest.fixture(scope="module", params=["sealed", "plain"])
def own_service(
    request: pytest.FixtureRequest, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("erase") / "data"
    environ = {"DABIR_STARTING_BALANCE": "5", "DABIR_AUDIT_INTERVAL": "500ms"}
    if request.param == "sealed":
        environ["DABIR_MASTER_KEY"] = MASTER
    with Service(folder, upstream.api_base, environ=environ) as service:
        yield service.wait_ready()


def usage(service: Service, sub: str) -> dict[str, str]:
    answer = httpx.get(
        f"{service.url}/api/v1/admin/usage/user:{sub}", headers=bearer("boss", "dabir:admin")
    )
    answer.raise_for_status()
    account: dict[str, str] = answer.json()
    return account


def test_erasing_beside_a_running_server(own_service: Service) -> None:
    service = own_service
    for n in range(3):
        send(service, bearer(ALICE), f"{WORDS} number {n}", model="paid")
    send(service, bearer(BOB), "bob writes too", model="paid")
    spent = usage(service, BOB)["spent"]
    with sending(service, bearer(ALICE), content=f"[[gate-never]] {WORDS}") as following:
        following.until("assistant_delta")
        assert words_in(service.data_dir, WORDS)

        done = service.dabir("erase", f"user:{ALICE}", "--yes", "--json")
        assert done.returncode == 0, done.stderr
        erased = json.loads(done.stdout)
        assert erased["chats"] == 4

        assert named(following.rest(), "assistant_error").data["code"] == "CHAT_NOT_FOUND"
    # At once, not when the model's silence had lasted too long; and it is no fault.
    ended = json.loads(service.wait_for_log('"outcome": "CHAT_NOT_FOUND"'))
    assert "cause" not in ended
    assert service.count_in_log('"fault"') == 0
    assert words_in(service.data_dir, WORDS, ALICE) == {}

    # Who has the name now is somebody else, with an account of their own.
    assert usage(service, ALICE)["spent"] == "0"
    send(service, bearer(ALICE), "a new beginning", model="paid")
    assert usage(service, BOB)["spent"] == spent

    checked = service.dabir("replay", "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    verified = service.dabir("projections", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_replies_that_are_being_written_end_with_the_erasure(own_service: Service) -> None:
    service, sub = own_service, "eve-of-the-tests"
    faults = service.count_in_log('"fault"')
    with sending(service, bearer(sub), content="[[tokens-6000-at-100]]") as following:
        following.until("assistant_delta")
        assert service.dabir("erase", f"user:{sub}", "--yes").returncode == 0
        assert named(following.rest(), "assistant_error").data["code"] == "CHAT_NOT_FOUND"
    assert service.count_in_log('"fault"') == faults


def test_the_sealed_log_still_verifies_after_an_erasure(
    own_service: Service, tmp_path: Path
) -> None:
    service = own_service
    sub = "carol-of-the-tests"
    send(service, bearer(sub), f"{WORDS} of carol")
    assert service.dabir("audit", "seal").returncode == 0
    assert service.dabir("erase", f"user:{sub}", "--yes").returncode == 0
    assert service.dabir("audit", "seal").returncode == 0
    export = tmp_path / "log.jsonl"
    assert service.dabir("events", "export", str(export)).returncode == 0
    assert WORDS not in export.read_text()
    key = service.dabir("audit", "key").stdout.strip()
    notes = tmp_path / "checkpoints"
    notes.mkdir()
    assert service.dabir("audit", "checkpoints", "--to", str(notes)).returncode == 0
    verified = service.dabir(
        "audit", "verify", str(export), "--key", key, "--checkpoints", str(notes)
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_nobody_is_erased_by_a_name_that_nobody_has(own_service: Service) -> None:
    done = own_service.dabir("erase", "user:nobody-at-all", "--yes")
    assert (done.returncode, done.stdout) == (3, "")
    assert "Nobody of that name" in done.stderr


def test_erasing_asks_first_and_needs_somebody_to_ask(own_service: Service) -> None:
    send(own_service, bearer("dora-of-the-tests"), "hello")
    done = own_service.dabir("erase", "user:dora-of-the-tests")
    assert done.returncode == 2
    assert "--yes" in done.stderr
