"""`dabir erase`: everything somebody wrote and is called."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError

from interfaces.cli.arguments import AsJson, DataDir, flag
from interfaces.cli.output import print_facts, print_json, progress, say
from interfaces.principals import parsed_principal

if TYPE_CHECKING:
    from uuid import UUID

    from application.erasure import ErasureDesk

Open = Callable[[Path | None], "AbstractContextManager[ErasureDesk]"]


def add_erase(app: App, open_desk: Open) -> None:
    @app.command(name="erase")
    def erase(
        principal: Annotated[str | None, flag("user:SUB or anon:ID.")] = None,
        /,
        *,
        unfinished: Annotated[bool, flag("Finish what was broken off.")] = False,
        yes: Annotated[bool, flag("Do not ask.")] = False,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """Erase what a principal wrote and is called, for good; what it cost stays, nameless.

        The views are built anew without it. Safe to break off: --unfinished goes on.
        """
        if (principal is None) != unfinished:
            raise CycloptsError(msg="Give a principal, or --unfinished.")
        with open_desk(data_dir) as desk:
            if principal is None:
                wanted = list(desk.unfinished())
            else:
                found = desk.find(*parsed_principal(principal))
                wanted = [found.id]
                if not yes:
                    _confirm(principal, found.chats)
            return _erase(desk, wanted, json)

    def _erase(desk: "ErasureDesk", wanted: list["UUID"], json: bool) -> int:
        erased = []
        for principal in wanted:
            with progress("erasing", "streams") as advance:
                erased.append(desk.erase(principal, advance))
        if wanted:
            with progress("building the views without them") as advance:
                desk.finish(wanted, advance)
        for each in erased:
            if json:
                print_json(each)
            else:
                print_facts(
                    {"erased": each.principal, "chats": each.chats, "events wiped": each.events}
                )
        if not erased and not json:
            say("nothing is unfinished")
        return 0


def _confirm(principal: str, chats: int) -> None:
    """Ask for the name once more. Raises CycloptsError where it is not given."""
    if not sys.stdin.isatty():
        raise CycloptsError(msg="Nobody is there to be asked: give --yes.")
    say(f"This erases {principal} and {chats} chats for good. There is no way back.")
    if input("Type the principal once more: ") != principal:
        raise CycloptsError(msg="That is another one. Nothing was erased.")
