"""`dabir events export` and `import`: the log as a file that anybody can read and check."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from interfaces.cli.arguments import AsJson, DataDir, count, flag
from interfaces.cli.events import OpenLedger
from interfaces.cli.output import print_facts, print_json, progress, say
from interfaces.cli.whole_file import STANDARD, lines_of, written_whole

if TYPE_CHECKING:
    from application.ledger.ports import LogImport

OpenImport = Callable[[Path | None], "AbstractContextManager[LogImport]"]


def add_archive(events: App, open_ledger: OpenLedger, open_import: OpenImport) -> None:
    """Adds to the group `events`."""

    @events.command(name="export")
    def export(
        file: Annotated[
            Path,
            Parameter(help="Where to; - is stdout, .gz compresses.", allow_leading_hyphen=True),
        ] = STANDARD,
        /,
        *,
        after: Annotated[int, count("Only what lies beyond this position.")] = 0,
        until: Annotated[int | None, count("Only up to this position.")] = None,
        without_personal: Annotated[bool, flag("Leave out what people wrote.")] = False,
        principals: Annotated[
            Path | None, flag("Also write who the ids stand for, into this file.")
        ] = None,
        data_dir: DataDir = None,
    ) -> int:
        """Write the log as JSON Lines, its stored bytes unchanged."""
        from application.ledger.archive import Export, principal_lines

        with open_ledger(data_dir) as ledger:
            exported = Export(ledger.log, after=after, until=until, personal=not without_personal)
            with written_whole(file) as written, progress("exporting") as advance:
                for position, lines in exported.parts():
                    written.write(lines)
                    advance(position - exported.after, exported.head - exported.after)
            if principals is not None:
                with written_whole(principals) as written:
                    written.writelines(principal_lines(ledger.people.all()))
            say(f"{exported.head - exported.after} events, the last at position {exported.head}")
        return 0

    @events.command(name="import")
    def import_log(
        file: Annotated[
            Path, Parameter(help="A whole export; - is stdin.", allow_leading_hyphen=True)
        ],
        /,
        *,
        principals: Annotated[
            Path | None, flag("Who the ids stand for, as export --principals wrote it.")
        ] = None,
        new_log_id: Annotated[
            bool, flag("A log of its own, which proofs of the exported one do not fit.")
        ] = False,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """Fill an empty log from an export: all of it, or nothing. The server must not run."""
        from msgspec import to_builtins

        with open_import(data_dir) as log:
            people = lines_of(principals) if principals is not None else ()
            imported = log.load(lines_of(file), people, new_log_id=new_log_id)
        if json:
            print_json(imported)
        else:
            names = {name: name.replace("_", " ") for name in imported.__struct_fields__}
            print_facts({names[n]: value for n, value in to_builtins(imported).items()})
        return 0
