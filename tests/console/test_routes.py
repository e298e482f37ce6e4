"""What operators see and start over HTTP, on the real server."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.console.conftest import ADMIN, Operator
from tests.docs.pages import OPERATIONS, rows, section
from tests.service import Service, bearer, named, send, until

SECRET = "a word that nobody else writes: kingfisher"

FILLED = {
    "{chat_id}": "0190b1c4-0000-7000-8000-000000000000",
    "{position}": "1",
    "{principal}": "user:ada",
}


def routes_of(operator: Operator) -> set[tuple[str, str]]:
    """Method and path of all that is for operators, as `/schema` has them."""
    paths = operator.client.get("/schema/openapi.json").json()["paths"]
    return {
        (method.upper(), path)
        for path, methods in paths.items()
        if path.startswith(ADMIN)
        for method in methods
    }


def filled(path: str) -> str:
    for name, value in FILLED.items():
        path = path.replace(name, value)
    return path


def conversation(service: Service, sub: str, *contents: str, **body: Any) -> str:
    """Each message is answered; returns the chat's id."""
    chat_id: str | None = body.pop("chat_id", None)
    for content in contents:
        given = {"chat_id": chat_id} if chat_id else {}
        events = send(service, bearer(sub), content, model="paid", **given, **body)
        chat_id = str(named(events, "assistant_typing").data["chat_id"])
    assert chat_id is not None
    return chat_id


def test_only_operators_see_and_start_anything(watched: Service, operator: Operator) -> None:
    before = operator.get("projections")["generations"]
    refused: tuple[tuple[dict[str, str], int, str], ...] = (
        ({}, 403, "FORBIDDEN"),
        (bearer("ada"), 403, "FORBIDDEN"),
        (bearer("ada", "dabir:administrator"), 403, "FORBIDDEN"),
        ({"authorization": "Bearer x.y.z"}, 401, "UNAUTHORIZED"),
    )
    routes = routes_of(operator)
    assert len(routes) == 15
    with httpx.Client(base_url=watched.url, timeout=30) as client:
        for headers, status, code in refused:
            for method, path in routes:
                body = {"amount": "1", "reference": "r"} if path.endswith("top-up") else None
                answer = client.request(method, filled(path), headers=headers, json=body)
                assert (answer.status_code, answer.json()["code"]) == (status, code), path
    assert operator.get("projections")["generations"] == before


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ("activity?minutes=0", "$.minutes"),
        ("activity?minutes=61", "$.minutes"),
        ("spend?days=0", "$.days"),
        ("spend?days=ten", "$.days"),
        ("events?limit=201", "$.limit"),
        ("events?before=-1", "$.before"),
        ("events?stream=a-chat", "$.stream"),
        ("events?since=2026-11-01T00:00:00", "$.since"),
        ("events?principal=ada", "principal"),
        ("events?principal=user:nobody-at-all", "principal"),
        ("chats/a-chat/timeline", "$.chat_id"),
        ("chats/0190b1c4-0000-7000-8000-000000000000/at/-1", "$.position"),
        ("audit?checkpoints=101", "$.checkpoints"),
        ("principals/ada/chats", "principal"),
        ("principals/user:ada/chats?cursor=none", "$.cursor"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(
    operator: Operator, route: str, path: str
) -> None:
    refused = operator.client.get(f"{ADMIN}/{route}")
    assert (refused.status_code, refused.json()["code"]) == (400, "VALIDATION_ERROR")
    assert refused.json()["details"]["path"] == path


def test_the_overview_is_of_the_log_and_this_node(
    watched: Service, operator: Operator, sub: str
) -> None:
    before = operator.get("overview")
    conversation(watched, sub, "Hello")
    seen = operator.get("overview")
    assert seen["head"] > before["head"]
    assert seen["totals"]["replies_started"] == before["totals"]["replies_started"] + 1
    assert seen["totals"]["replies_ended"] == before["totals"]["replies_ended"] + 1
    assert seen["totals"]["requests"] > before["totals"]["requests"]
    assert (seen["engine"], seen["node"], seen["currency"]) == ("sqlite", seen["log_id"], "USD")
    assert seen["readiness"] == {"draining": None, "store": None, "model": None, "views": None}
    assert seen["views"]["keeps_up"] is True
    until(lambda: operator.get("overview")["views"]["lag"] == 0)


def test_what_the_node_did_is_counted_in_steps(
    watched: Service, operator: Operator, sub: str
) -> None:
    until(lambda: operator.get("activity")["times"], 15)
    counted = sum(operator.get("activity")["replies_started"])
    conversation(watched, sub, "one two three", "[[refuse-500]] Hello")
    until(lambda: sum(operator.get("activity")["replies_started"]) == counted + 2, 15)
    activity = operator.get("activity", minutes=60)
    assert sum(activity["failures"]["PROVIDER_ERROR"]) >= 1
    assert sum(activity["events"]) > 0
    assert sum(activity["pieces"]) >= 1
    assert max(p95 for p95 in activity["first_token_p95"] if p95 is not None) > 0
    lists = [value for value in activity.values() if isinstance(value, list)]
    assert {len(each) for each in lists} == {len(activity["times"])}
    assert len(operator.get("activity", minutes=1)["times"]) <= 12


def test_what_models_cost_is_shown_by_day(watched: Service, operator: Operator, sub: str) -> None:
    def paid() -> tuple[int, float, float]:
        rows = [row for row in operator.get("spend")["rows"] if row["model"] == "paid"]
        nothing: dict[str, Any] = {"replies": 0, "cost": "0", "charged": "0"}
        row = rows[-1] if rows else nothing
        return row["replies"], float(row["cost"]), float(row["charged"])

    before = paid()
    events = send(watched, bearer(sub), "four words of mine", model="paid")
    cost = float(named(events, "assistant_complete").data["message"]["usage"]["cost"])
    until(lambda: paid()[0] == before[0] + 1)
    assert paid()[1:] == pytest.approx((before[1] + cost, before[2] + cost))


def pages(operator: Operator, limit: int, **filters: Any) -> Iterator[list[dict[str, Any]]]:
    before: dict[str, int] = {}
    while True:
        page = operator.get("events", limit=limit, **before, **filters)
        yield page["events"]
        if page["next_before"] is None:
            return
        before = {"before": page["next_before"]}


def test_events_are_paged_without_a_gap_and_without_words(
    watched: Service, operator: Operator, sub: str
) -> None:
    first = operator.get("overview")["head"] + 1
    chat_id = conversation(watched, sub, SECRET, "Another message")
    found = [event for page in pages(operator, 3, after=first - 1) for event in page]
    positions = [event["position"] for event in found]
    assert positions == list(range(positions[0], first - 1, -1))
    assert "kingfisher" not in str(found)
    mine = [event for page in pages(operator, 5, stream=chat_id) for event in page]
    assert [event["version"] for event in mine] == list(range(len(mine), 0, -1))
    assert {event["chat"] for event in mine} == {chat_id}
    assert mine[-1]["payload"]["model"] == "paid"
    assert (mine[-1]["actor"], mine[-1]["what"]) == (f"user:{sub}", f"begun by user:{sub}")
    money = [
        event
        for page in pages(operator, 2, principal=f"user:{sub}", type="usage.")
        for event in page
    ]
    assert [event["topic"] for event in money][-2:] == ["usage.topped-up", "usage.created"]
    assert {event["principal"] for event in money} == {f"user:{sub}"}
    since = money[-1]["recorded_at"]
    assert operator.get("events", since=since, until=since)["events"] == []
    in_time = operator.get("events", since=since, principal=f"user:{sub}", limit=200)["events"]
    assert len(in_time) == len([e for e in found if e["principal"] == f"user:{sub}"])


def test_a_chat_is_shown_as_it_was(watched: Service, operator: Operator, sub: str) -> None:
    chat_id = conversation(watched, sub, "the first question")
    timeline = operator.get(f"chats/{chat_id}/timeline")
    answered = timeline["steps"][-1]
    asked = next(step for step in timeline["steps"] if step["topic"] == "chat.message-sent")
    then = operator.get(f"chats/{chat_id}/at/{answered['position']}")
    conversation(
        watched, sub, "an edited question", chat_id=chat_id, edit_of=then["messages"][0]["id"]
    )
    now = operator.get(f"chats/{chat_id}/at/{2**40}")
    assert [m["content"] for m in now["messages"]] == ["an edited question"] * 2
    assert (now["messages"][0]["version"], now["messages"][0]["versions"]) == (2, 2)
    assert float(now["cost"]) == pytest.approx(
        float(now["messages"][1]["cost"]) + float(then["messages"][1]["cost"])
    )
    assert operator.get(f"chats/{chat_id}/at/{answered['position']}") == then
    assert [m["content"] for m in then["messages"]] == ["the first question"] * 2
    assert (then["owner"], then["title"]) == (f"user:{sub}", "the first question")
    writing = operator.get(f"chats/{chat_id}/at/{asked['position'] + 1}")
    assert writing["messages"][1]["status"] == "streaming"
    assert writing["messages"][1]["content"] is None
    assert writing["active_reply_id"] is not None
    unborn = operator.client.get(f"{ADMIN}/chats/{chat_id}/at/{asked['position'] - 2}")
    assert (unborn.status_code, unborn.json()["code"]) == (404, "CHAT_NOT_FOUND")
    assert operator.client.get(f"{ADMIN}/chats/{uuid4()}/timeline").status_code == 404
    told = watched.wait_for_log(chat_id_read(chat_id))
    assert "first question" not in told


def chat_id_read(chat_id: str) -> str:
    return f'"what": "chat", "of": "{chat_id}", "event": "operator_read"'


def test_what_a_principal_has_is_listed(watched: Service, operator: Operator, sub: str) -> None:
    chats = [conversation(watched, sub, f"question {number}") for number in range(3)]
    first = operator.get(f"principals/user:{sub}/chats", limit=2)
    rest = operator.get(f"principals/user:{sub}/chats", cursor=first["next_cursor"])
    assert [chat["id"] for chat in [*first["chats"], *rest["chats"]]] == chats[::-1]
    assert (first["total"], rest["next_cursor"]) == (3, None)
    assert first["chats"][0]["title"] == "question 2"
    assert operator.get(f"principals/user:{uuid4()}/chats")["chats"] == []


def verified(operator: Operator) -> dict[str, Any]:
    started = operator.post("audit/verifications")
    assert (started.status_code, started.json()["state"]) == (202, "running")
    again = operator.post("audit/verifications")
    assert (again.status_code, again.json()["code"]) == (400, "VALIDATION_ERROR")
    route = "audit/verifications/latest"
    until(lambda: operator.get(route)["state"] != "running", 60)
    latest: dict[str, Any] = operator.get(route)
    return latest


@contextmanager
def damaged(service: Service, position: int) -> Iterator[None]:
    """An event of the log, by other hands."""
    with closing(sqlite3.connect(service.data_dir / "events.db", timeout=10)) as log:
        query = "SELECT payload FROM events WHERE position = ?"
        (payload,) = log.execute(query, (position,)).fetchone()
        change = "UPDATE events SET payload = ? WHERE position = ?"
        log.execute(change, (payload + b" ", position))
        log.commit()
        yield
        log.execute(change, (payload, position))
        log.commit()


def test_names_with_any_character_are_reached(watched: Service, operator: Operator) -> None:
    name = f"https://id.example.org/{uuid4()}/ä %2F+?#"
    send(watched, bearer(name), "Good day")
    written = quote(f"user:{name}", safe="")
    assert operator.get(f"usage/{written}")["principal"] == f"user:{name}"
    listed = operator.get(f"principals/{written}/chats")
    assert [chat["title"] for chat in listed["chats"]] == ["Good day"]
    given = {"amount": "3", "reference": "r"}
    topped = operator.client.post(f"{ADMIN}/usage/{written}/top-up", json=given)
    assert topped.json()["balance"] == "8"


def test_the_log_is_verified_beside_the_server(
    watched: Service, operator: Operator, sub: str
) -> None:
    conversation(watched, sub, "Hello")
    until(lambda: operator.get("audit")["unsealed"] == 0)
    audit = operator.get("audit", checkpoints=1)
    (last,) = audit["checkpoints"]
    assert (last["size"], last["note"].splitlines()[1]) == (audit["head"], str(audit["head"]))
    assert (audit["target"], last["delivered_at"]) == (None, None)
    assert audit["verifier_key"] == watched.dabir("audit", "key").stdout.strip()
    sound = verified(operator)
    assert (sound["state"], sound["findings"], sound["error"]) == ("ok", [], None)
    assert sound["checked"] == sound["total"] >= audit["head"]
    with damaged(watched, audit["head"]):
        broken = verified(operator)
    assert (broken["state"], broken["error"]) == ("failed", None)
    assert {finding["position"] for finding in broken["findings"]} == {audit["head"]}
    assert broken["findings_total"] == len(broken["findings"])


def test_the_views_are_rebuilt_beside_the_server(
    watched: Service, operator: Operator, sub: str
) -> None:
    chat_id = conversation(watched, sub, "Hello")
    before, spent = operator.get("projections"), operator.get("spend")
    started = operator.post("projections/rebuilds")
    assert (started.status_code, started.json()["state"]) == (202, "running")
    again = operator.post("projections/rebuilds")
    assert (again.status_code, again.json()["code"]) == (400, "VALIDATION_ERROR")
    route = "projections/rebuilds/latest"
    until(lambda: operator.get(route)["state"] != "running", 60)
    rebuilt = operator.get(route)
    assert (rebuilt["state"], rebuilt["error"]) == ("ok", None)
    assert rebuilt["position"] == rebuilt["target"] >= spent["position"]
    (live,) = operator.get("projections")["generations"]
    assert (live["name"], live["state"]) == (rebuilt["generation"], "live")
    assert live["name"] != before["generations"][0]["name"]
    assert operator.get("overview")["views"]["generation"] == live["name"]
    assert operator.get("spend")["rows"] == spent["rows"]
    assert operator.get(f"principals/user:{sub}/chats")["chats"][0]["id"] == chat_id


def test_every_route_of_administration_stands_on_the_page(operator: Operator) -> None:
    routes = {f"{method} {path}" for method, path in routes_of(operator)}
    assert routes == set(rows(section(OPERATIONS, "The console")))
