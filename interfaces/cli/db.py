"""`dabir db`: the version of the tables in the log's database, and migrating them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from cyclopts import App

from interfaces.cli.arguments import AsJson, DataDir
from interfaces.cli.exit_codes import FAULTS_FOUND
from interfaces.cli.output import print_facts, print_json


class Tables(Protocol):
    @property
    def newest(self) -> str: ...

    def stored(self) -> str | None: ...

    def upgrade(self) -> str | None: ...


OpenTables = Callable[[Path | None], AbstractContextManager[Tables]]


def add_db(app: App, open_tables: OpenTables) -> None:
    db = App(name="db", help="The tables in the log's database, and migrating them.")
    app.command(db)

    @db.command(name="current")
    def current(*, json: AsJson = False, data_dir: DataDir = None) -> int:
        """Show the tables' version, and which one this release needs; exits with 1 on another."""
        with open_tables(data_dir) as tables:
            stored, newest = tables.stored(), tables.newest
        agree = stored == newest
        if json:
            print_json({"stored": stored, "code": newest, "agree": agree})
        else:
            print_facts(
                {
                    "version of the tables": stored or "none",
                    "version of this release": newest,
                    "they agree": "yes" if agree else "no",
                }
            )
        return 0 if agree else FAULTS_FOUND

    @db.command(name="upgrade")
    def upgrade(*, json: AsJson = False, data_dir: DataDir = None) -> int:
        """Migrate the tables to this release's version; nothing is done where they have it."""
        with open_tables(data_dir) as tables:
            before, newest = tables.upgrade(), tables.newest
        if json:
            print_json({"from": before, "to": newest})
        elif before == newest:
            print(f"The tables have version {newest} already.")
        else:
            print(f"The tables were migrated from version {before or 'none'} to {newest}.")
        return 0
