"""`dabir replay`: what was, event by event, and whether the whole log holds."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

from cyclopts import App

from application.errors import ConfigurationError
from interfaces.cli.account_facts import print_account
from interfaces.cli.arguments import AsJson, DataDir, flag, position_of, uuid_of
from interfaces.cli.exit_codes import FAULTS_FOUND
from interfaces.cli.names import id_of, names_of
from interfaces.cli.output import print_facts, print_json, print_table, printable, progress, say

if TYPE_CHECKING:
    from application.ledger.hold_check import Finding
    from application.ledger.ports import Ledger
    from application.ledger.replay import ChatThen, MessageThen, MoneyAfter, Step

OpenLedger = Callable[[Path | None], "AbstractContextManager[Ledger]"]


def add_replay(app: App, open_ledger: OpenLedger) -> None:
    @app.command(name="replay")
    def replay(
        *,
        chat: Annotated[str | None, flag("Replay this chat, and what was paid for it.")] = None,
        principal: Annotated[
            str | None, flag("Replay the account and the chats of user:SUB, anon:ID or an id.")
        ] = None,
        check: Annotated[bool, flag("Fold the whole log, and doubt every event.")] = False,
        until: Annotated[str | None, flag("Up to this position or time.")] = None,
        contents: Annotated[bool, flag("Also what people wrote.")] = False,
        limit: Annotated[int, flag("Findings of a check to show; 0 shows all.")] = 50,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """Show what a chat or an account was, from the events alone; or check the whole log.

        Calls no model and writes nothing. A check that finds something ends with 1.
        """
        if sum((chat is not None, principal is not None, check)) != 1:
            raise ConfigurationError("give --chat, --principal or --check: one of them.")
        with open_ledger(data_dir) as ledger:
            last = _last(ledger, until)
            if check:
                return _check(ledger, last, limit, json)
            _replay(ledger, chat, principal, last, contents, json)
        return 0


def _last(ledger: "Ledger", until: str | None) -> int:
    """The position up to which to replay."""
    wanted = position_of("--until", until) if until is not None else None
    head = ledger.log.head()
    if wanted is None:
        return head
    if isinstance(wanted, datetime):
        return ledger.log.position_at(wanted)
    return min(wanted, head)


def _check(ledger: "Ledger", last: int, limit: int, json: bool) -> int:
    from application.ledger.log_check import LogCheck

    shown: list[Finding] = []

    def found(finding: "Finding") -> None:
        if json:
            print_json(finding)
        elif not limit or len(shown) < limit:
            shown.append(finding)

    with progress("checking") as advance:
        result = LogCheck(ledger.log, found, last).run(lambda done: advance(done, last))
    if json:
        print_json(result)
        return FAULTS_FOUND if result.findings else 0
    if shown:
        rows = [(each.position, each.stream_id, each.rule, each.words) for each in shown]
        print_table(("position", "stream", "rule", "what"), rows)
        print()
    if result.findings > len(shown):
        say(f"{result.findings - len(shown)} more are not shown: --limit 0 shows all.")
    print_facts(
        {
            "log": result.log_id,
            "events": f"{result.events} up to position {result.head}",
            "streams": result.streams,
            "states": f"sha256 {result.state_hash}",
            "findings": result.findings or "none",
        }
    )
    return FAULTS_FOUND if result.findings else 0


def _replay(
    ledger: "Ledger",
    chat: str | None,
    principal: str | None,
    last: int,
    contents: bool,
    json: bool,
) -> None:
    from application.ledger.replay import Replay

    replay = Replay(ledger.log, names_of(ledger.people), last, contents=contents)
    if chat is not None:
        steps = replay.of_chat(uuid_of("--chat", chat))
    else:
        steps = replay.of_principal(id_of(ledger.people, principal or ""))
    if json:
        for step in steps:
            print_json(step)
        for state in (*replay.chats(), *replay.accounts()):
            print_json(state)
        return
    print_table(("position", "at", "by", "why", "what", "after it"), list(map(_row, steps)))
    for then in replay.chats():
        _print_chat(then)
    for account in replay.accounts():
        print()
        print_account(account)


def _row(step: "Step") -> tuple[object, ...]:
    why = step.correlation if step.causation is None else f"{step.correlation} {step.causation}"
    at = step.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return step.position, at, step.actor_name, why, step.what, _left(step.money)


def _left(money: "MoneyAfter | None") -> str:
    if money is None:
        return ""
    if money.kind == "anonymous":
        return f"{money.allowance_used} used"
    return f"{money.balance}, {money.held} held"


def _print_chat(chat: "ChatThen") -> None:
    marks = [mark for mark in ("archived", "deleted", "erased") if getattr(chat, mark)]
    print()
    facts = {"chat": chat.id, "title": chat.title, "owner": chat.owner_name, "model": chat.model}
    facts |= {"marks": ", ".join(marks) or None, "reply under way": chat.open_reply}
    print_facts({name: printable(v) for name, v in facts.items() if v is not None})
    for message in chat.messages:
        print(_message_line(message))


def _message_line(message: "MessageThen") -> str:
    """The active branch is marked with a star."""
    version = f" {message.version}/{message.versions}" if message.versions > 1 else ""
    line = f"{'*' if message.active else ' '} {message.id} {message.role} {message.status}{version}"
    if message.content:
        line += "\n" + indent(printable(message.content), "    ")
    return line
