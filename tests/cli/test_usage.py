"""`dabir usage`, in processes of its own, and beside the real server."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from interfaces.cli.spreadsheet import harmless
from tests.ledger.given import Conversation
from tests.ledger.process import dabir, objects
from tests.service import Service, bearer, joined, send, sending
from tests.upstream import Upstream


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Conversation(tmp_path / "events.db").path.parent


def test_an_account_is_shown(folder: Path) -> None:
    (account,) = objects(folder, "usage", "show", "user:alice")
    assert (account["principal_name"], account["balance"]) == ("user:alice", "0.00098")
    assert b"balance    0.00098 USD" in dabir(folder, "usage", "show", "user:alice").stdout
    assert dabir(folder, "usage", "show", "user:nobody").returncode == 3


def test_a_statement_in_each_form(folder: Path) -> None:
    lines = objects(folder, "usage", "statement", "user:alice")
    assert [line["entry"] for line in lines] == ["top-up", "hold", "settlement", "hold", "release"]
    printed = dabir(folder, "usage", "statement", "user:alice", "--csv").stdout.decode()
    rows = list(csv.DictReader(io.StringIO(printed)))
    for row, line in zip(rows, lines, strict=True):
        assert list(row) == list(line)
        assert row["balance"] == line["balance"]
        assert row["reply_id"] == (line["reply_id"] or "")
    table = dabir(folder, "usage", "statement", "user:alice").stdout.decode()
    assert "model, 10+5 tokens, at 1/2 by test" in table


def test_a_report_in_each_form(folder: Path) -> None:
    (row,) = objects(folder, "usage", "report", "--by", "principal")
    assert (row["key"], row["messages"], row["charged"]) == ("user:alice", 1, "0.00002")
    printed = dabir(folder, "usage", "report", "--by", "model", "--csv").stdout.decode()
    assert printed.splitlines()[0].startswith("model,currency,messages,prompt_tokens")
    assert b"2026-11-01  USD" in dabir(folder, "usage", "report").stdout
    assert objects(folder, "usage", "report", "--from", "2026-11-02") == []
    assert objects(folder, "usage", "report", "--to", "2026-11-01") == []
    assert dabir(folder, "usage", "report", "--csv", "--json").returncode == 2


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1-1", "'+1-1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-0.5", "-0.5"),
        ("user:=1", "user:=1"),
        (None, ""),
        (5, "5"),
    ],
)
def test_a_name_is_no_formula(cell: object, written: str) -> None:
    assert harmless(cell) == written


def test_a_reference_that_is_a_formula_stays_text(tmp_path: Path) -> None:
    folder = Conversation(tmp_path / "events.db").path.parent
    done = dabir(folder, "usage", "top-up", "user:alice", "1", "--reference", '=HYPERLINK("x")')
    assert done.returncode == 0, done.stderr
    printed = dabir(folder, "usage", "statement", "user:alice", "--csv").stdout.decode()
    assert [row["reference"] for row in csv.DictReader(io.StringIO(printed))][-1] == (
        '\'=HYPERLINK("x")'
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("user:alice", "five", "--reference", "r"), 2),
        (("user:alice", "-5", "--reference", "r"), 2),
        (("user:alice", "5", "--reference", ""), 2),
        (("user:alice", "5"), 2),
        (("user:alice", "0", "--reference", "r"), 3),
        (("anon:visitor", "5", "--reference", "r"), 3),
        (("alice", "5", "--reference", "r"), 3),
    ],
)
def test_what_is_no_top_up_is_refused(folder: Path, arguments: tuple[str, ...], code: int) -> None:
    before = objects(folder, "events", "--limit", "0")
    done = dabir(folder, "usage", "top-up", *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert len(done.stderr.splitlines()) == 1
    assert objects(folder, "events", "--limit", "0") == before


@pytest.fixture(scope="module")
def poor(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server without a starting balance."""
    with Service(tmp_path_factory.mktemp("poor") / "data", upstream.api_base) as service:
        yield service.wait_ready()


def test_a_top_up_beside_the_server_is_seen_at_once(poor: Service, sub: str) -> None:
    with sending(poor, bearer(sub), content="Hello", model="paid") as refused:
        assert refused.response.status_code == 402
    top_up = ("usage", "top-up", f"user:{sub}", "5.00", "--reference", "invoice-17")
    (account,) = objects(poor.data_dir, *top_up)
    assert (account["balance"], account["principal_name"]) == ("5", f"user:{sub}")
    assert joined(send(poor, bearer(sub), "Hello", model="paid"))


def test_a_reference_counts_once_by_whichever_way(poor: Service, sub: str) -> None:
    def by_http(amount: str) -> httpx.Response:
        return httpx.post(
            f"{poor.url}/api/v1/admin/usage/user:{sub}/top-up",
            json={"amount": amount, "reference": "invoice-18"},
            headers=bearer("operator", "dabir:admin"),
        )

    assert by_http("2.50").json()["balance"] == "2.5"
    top_up = ("usage", "top-up", f"user:{sub}", "2.5", "--reference", "invoice-18", "--json")
    repeated = dabir(poor.data_dir, *top_up)
    assert repeated.returncode == 0
    assert json.loads(repeated.stdout)["balance"] == "2.5"
    assert repeated.stderr == b"invoice-18 was counted before: nothing was added.\n"
    other = dabir(poor.data_dir, *top_up[:3], "3", *top_up[4:])
    assert (other.returncode, other.stdout) == (3, b"")
    assert by_http("2.5").json()["balance"] == "2.5"
    events = objects(poor.data_dir, "events", "--principal", f"user:{sub}", "--type", "usage.")
    assert [event["topic"] for event in events] == ["usage.created", "usage.topped-up"]


def test_an_import_keeps_off_a_running_server(poor: Service) -> None:
    done = dabir(poor.data_dir, "events", "import", "-", given=b"")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"another server is running" in done.stderr
