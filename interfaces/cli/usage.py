"""`dabir usage`: accounts and what was spent, read from the log; and topping up."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from application.errors import ConfigurationError
from interfaces.cli.account_facts import print_account
from interfaces.cli.arguments import AsJson, DataDir, flag, optional_time
from interfaces.cli.names import id_of, names_of
from interfaces.cli.output import print_json, print_table, say
from interfaces.cli.spreadsheet import print_csv
from interfaces.principals import parsed_principal

if TYPE_CHECKING:
    from application.commands import TopUp
    from application.ledger.ports import Ledger
    from application.ledger.statements import StatementLine
    from application.turns import Outcome
    from application.usage_commands import ToppedUp
    from domain.usage import Kind

OpenLedger = Callable[[Path | None], "AbstractContextManager[Ledger]"]
CarryOut = Callable[[Path | None, "Kind", str, "TopUp"], "Outcome[ToppedUp]"]

Of = Annotated[str, Parameter(help="user:SUB, anon:ID, or an internal id.")]
From = Annotated[str | None, Parameter(name="--from", help="From this time or date on.")]
To = Annotated[str | None, Parameter(name="--to", help="Up to this time or date, not with it.")]
AsCsv = Annotated[bool, flag("CSV for a spreadsheet.")]


def add_usage(app: App, open_ledger: OpenLedger, top_up: CarryOut) -> None:
    group = App(name="usage", help="Accounts: what is left, what was spent, and on what.")
    app.command(group)

    @group.command(name="show")
    def show(principal: Of, /, *, json: AsJson = False, data_dir: DataDir = None) -> int:
        """Show an account as the log has it now."""
        with open_ledger(data_dir) as ledger:
            _show(ledger, principal, json)
        return 0

    @group.command(name="statement")
    def show_statement(
        principal: Of,
        /,
        *,
        from_: From = None,
        to: To = None,
        csv: AsCsv = False,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """List what moved an account, and what each price was and where it came from."""
        from application.ledger.statements import StatementLine, statement

        _one_of(csv, json)
        times = optional_time("--from", from_), optional_time("--to", to)
        with open_ledger(data_dir) as ledger:
            lines = statement(ledger.log, id_of(ledger.people, principal), *times)
            if json:
                for line in lines:
                    print_json(line)
            elif csv:
                print_csv(*_as_csv(StatementLine, lines))
            else:
                columns = ("position", "at", "what", "for", "amount", "balance", "reserved")
                print_table(columns, list(map(_row, lines)))
        return 0

    @group.command(name="report")
    def report(
        *,
        from_: From = None,
        to: To = None,
        by: Annotated[Literal["model", "day", "principal"], flag("A line for each.")] = "day",
        csv: AsCsv = False,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """Sum up messages, tokens, cost, charges and failures. Days are UTC."""
        from application.ledger.usage_report import ReportRow, usage_report

        _one_of(csv, json)
        times = optional_time("--from", from_), optional_time("--to", to)
        with open_ledger(data_dir) as ledger:
            rows = usage_report(ledger.log, names_of(ledger.people), by, *times)
        if json:
            for row in rows:
                print_json(row)
        elif csv:
            columns, cells = _as_csv(ReportRow, rows)
            print_csv((by, *columns[1:]), cells)
        else:
            columns, cells = _as_csv(ReportRow, rows)
            print_table((by, *columns[1:]), list(cells))
        return 0

    @group.command(name="top-up")
    def add(
        principal: Annotated[str, Parameter(help="user:SUB; visitors have no balance.")],
        amount: Annotated[str, Parameter(help="Such as 5.00, in the account's currency.")],
        /,
        *,
        reference: Annotated[str, flag("Names the payment; the same one counts once.")],
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """Add to a user's balance; the server sees it at once. Prints the account after it."""
        command = _top_up_command(amount, reference)
        outcome = top_up(data_dir, *parsed_principal(principal), command)
        if outcome.repeated:
            say(f"{reference} was counted before: nothing was added.")
        with open_ledger(data_dir) as ledger:
            _show(ledger, principal, json)
        return 0


def _show(ledger: "Ledger", principal: str, json: bool) -> None:
    from application.ledger.account_then import account_then
    from application.ledger.statements import account_of

    usage, _ = account_of(ledger.log, id_of(ledger.people, principal))
    account = account_then(usage, names_of(ledger.people))
    if json:
        print_json(account)
    else:
        print_account(account)


def _top_up_command(amount: str, reference: str) -> "TopUp":
    from msgspec import ValidationError, convert

    from application.commands import TopUp

    try:
        return convert({"amount": amount, "reference": reference}, TopUp)
    except ValidationError:
        raise ConfigurationError(
            "an amount is a decimal such as 5.00, with at most nine places; a reference has 1 to"
            " 255 characters."
        ) from None


def _one_of(csv: bool, json: bool) -> None:
    if csv and json:
        raise ConfigurationError("give --csv or --json, not both.")


def _as_csv(kind: Any, lines: Any) -> tuple[tuple[str, ...], Any]:
    """The columns of a Struct, and its values row by row, times in RFC 3339."""
    from msgspec import to_builtins

    # A dict keeps the order of the fields.
    return kind.__struct_fields__, (list(to_builtins(line).values()) for line in lines)


def _row(line: "StatementLine") -> tuple[object, ...]:
    at = line.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    amount = line.amount
    if line.entry == "settlement":
        amount = "0" if line.charged == "0" else f"-{line.charged}"
    purpose = [line.reference, line.reason]
    if line.model is not None:
        estimated = ", estimated" if line.estimated else ""
        purpose.append(
            f"{line.model}, {line.prompt_tokens}+{line.completion_tokens} tokens{estimated}"
        )
        purpose.append(f"at {line.price_input}/{line.price_output} by {line.price_source}")
    if line.absorbed not in (None, "0"):
        purpose.append(f"{line.absorbed} absorbed")
    if line.reply_id is not None:
        purpose.append(f"reply {line.reply_id}")
    words = ", ".join(part for part in purpose if part)
    return line.position, at, line.entry, words, amount, line.balance, line.reserved
