"""`dabir replay`, in processes of its own."""

import json
from pathlib import Path

import pytest

from tests.ledger.given import Conversation, edit, rewrite
from tests.ledger.process import dabir, objects


@pytest.fixture
def held(tmp_path: Path) -> Conversation:
    return Conversation(tmp_path / "events.db")


@pytest.fixture
def folder(held: Conversation) -> Path:
    return held.path.parent


def test_a_chat_as_it_was(folder: Path, held: Conversation) -> None:
    *steps, chat, account = objects(
        folder, "replay", "--chat", str(held.chat_id), "--until", "6", "--contents"
    )
    assert [step["position"] for step in steps] == [1, 4, 5, 6]
    assert {step["actor_name"] for step in steps} == {"user:alice"}
    assert steps[-1]["money"]["held"] == "0.00005"
    assert (chat["state"], chat["owner_name"]) == ("chat", "user:alice")
    assert [message["content"] for message in chat["messages"]] == ["A secret question", None]
    assert (account["state"], account["available"]) == ("account", "0.00095")


def test_a_time_is_as_good_as_a_position(folder: Path, held: Conversation) -> None:
    until = ("--until", "2026-11-01T12:00:00Z")
    assert len(objects(folder, "replay", "--chat", str(held.chat_id), *until)) == 14
    done = dabir(folder, "replay", "--chat", str(held.chat_id), "--until", "2026-10-01")
    assert (done.returncode, done.stdout) == (3, b"")


def test_people_read_a_table_and_the_state(folder: Path, held: Conversation) -> None:
    done = dabir(folder, "replay", "--principal", "user:alice")
    shown = done.stdout.decode()
    assert done.returncode == 0
    assert "0.00002 charged of 0.00002" in shown
    assert f"* {held.answer_id} assistant complete 1/2" in shown
    assert "balance    0.00098 USD" in shown
    assert "secret" not in shown
    assert (
        "A secret question"
        in dabir(folder, "replay", "--principal", "user:alice", "--contents").stdout.decode()
    )


def test_a_log_that_holds(folder: Path) -> None:
    first, second = (dabir(folder, "replay", "--check", "--json") for _ in range(2))
    assert (first.returncode, first.stderr) == (0, b"")
    assert first.stdout == second.stdout
    result = json.loads(first.stdout)
    assert (result["events"], result["findings"]) == (14, 0)
    shown = dabir(folder, "replay", "--check").stdout.decode()
    assert result["state_hash"] in shown
    assert "findings  none" in shown


def test_a_log_that_does_not(folder: Path) -> None:
    rewrite(folder / "events.db", 8, charged=1)
    edit(folder / "events.db", "UPDATE events SET payload_digest = x'00' WHERE position = 3")
    done = dabir(folder, "replay", "--check", "--json")
    assert done.returncode == 1
    *findings, result = map(json.loads, done.stdout.splitlines())
    assert [(each["position"], each["rule"]) for each in findings] == [
        (3, "payload-digest"),
        (8, "decided-otherwise"),
    ]
    assert result["findings"] == 2
    limited = dabir(folder, "replay", "--check", "--limit", "1")
    assert limited.returncode == 1
    assert b"payload-digest" in limited.stdout
    assert b"decided-otherwise" not in limited.stdout
    assert limited.stderr == b"1 more are not shown: --limit 0 shows all.\n"


@pytest.mark.parametrize("arguments", [(), ("--check", "--principal", "user:alice")])
def test_one_thing_at_a_time(folder: Path, arguments: tuple[str, ...]) -> None:
    done = dabir(folder, "replay", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"dabir: give --chat, --principal or --check: one of them.\n"
