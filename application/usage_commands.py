"""Commands on accounts."""

from uuid import UUID

import msgspec

from application.accounts import Accounts
from application.commands import TopUp
from application.errors import InvalidRequest
from application.ports import Append, Caller, Clock, Principal
from application.queries import decimal_of, nanos_of
from application.turns import Attempt, Decision, Outcome, Turns


class ToppedUp(msgspec.Struct, frozen=True):
    amount: str
    reference: str


class UsageCommands:
    def __init__(self, turns: Turns, accounts: Accounts, clock: Clock) -> None:
        self._turns = turns
        self._accounts = accounts
        self._clock = clock

    async def top_up(
        self, command: TopUp, principal: Principal, correlation: UUID, actor: UUID | None
    ) -> Outcome[ToppedUp]:
        """Add to a user's balance, once for each reference, whichever way it is given.

        `actor` is the operator, None at the command line, where nobody has signed in. Raises
        InvalidRequest, and IdempotencyKeyReused for a reference with another amount.
        """
        if principal.kind != "user":
            raise InvalidRequest("Only a user has a balance.", "$.principal")
        if nanos_of(command.amount) <= 0:
            raise InvalidRequest("The amount must be positive.", "$.amount")

        # "2.50" is the same request as "2.5".
        command = msgspec.structs.replace(command, amount=decimal_of(nanos_of(command.amount)))

        async def decide(attempt: Attempt) -> Decision[ToppedUp]:
            at = self._clock.now()
            usage = await self._accounts.of(principal, at, attempt.fresh)
            usage.top_up(nanos_of(command.amount), "operator", command.reference, at)
            result = ToppedUp(command.amount, command.reference)
            meta = msgspec.structs.replace(attempt.meta, actor=actor)
            return Decision(
                Append(aggregates=(usage,), meta=meta, command=attempt.record(result)), result
            )

        # The reference is the account's, whichever operator gives it.
        for_account = Caller(principal=principal, address="", correlation=correlation)
        return await self._turns.carry_out(
            for_account, command, command.reference, ToppedUp, decide
        )
