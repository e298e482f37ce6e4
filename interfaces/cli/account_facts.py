"""An account for people, as `usage show` and `replay` print it."""

from typing import TYPE_CHECKING

from interfaces.cli.output import print_facts, printable

if TYPE_CHECKING:
    from application.ledger.account_then import AccountThen


def print_account(account: "AccountThen") -> None:
    facts: dict[str, object] = {"account": account.principal_name, "kind": account.kind}
    if account.kind == "user":
        facts["balance"] = f"{account.balance} {account.currency}"
        facts["held"] = account.held
        facts["available"] = account.available
        facts["spent"] = account.spent
    else:
        facts["allowance used"] = account.allowance_used
        facts["window ends"] = account.resets_at
    facts["messages"] = account.messages
    facts["holds"] = ", ".join(map(str, account.holds)) or None
    facts["erased"] = "yes" if account.erased else None
    print_facts({name: printable(fact) for name, fact in facts.items() if fact is not None})
