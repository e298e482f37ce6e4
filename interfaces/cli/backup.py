"""`dabir backup` and `dabir restore`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App

from interfaces.cli.arguments import AsJson, DataDir, flag
from interfaces.cli.output import print_facts, print_json, say

if TYPE_CHECKING:
    from application.backup import Backups

Open = Callable[[Path | None], "AbstractContextManager[Backups]"]
OpenRestore = Callable[[Path | None, bool], "AbstractContextManager[Backups]"]
"""Also told whether the file of keys is lost for good."""


def add_backup(app: App, open_backups: Open, open_restore: OpenRestore) -> None:
    """`open_restore` holds the data folder, so that no server starts on half of a log."""

    @app.command(name="backup")
    def backup(
        folder: Annotated[Path, flag("An empty folder, or one to be made.")],
        /,
        *,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """Copy the log while it is written: one moment of it, whole. Keys are left out."""
        with open_backups(data_dir) as backups:
            manifest = backups.take(folder)
        if json:
            print_json(manifest)
        else:
            print_facts(
                {
                    "log": manifest.log_id,
                    "events": manifest.head,
                    "sealed": manifest.sealed,
                    "bytes": manifest.bytes,
                    "sha256": manifest.sha256,
                }
            )
        return 0

    @app.command(name="restore")
    def restore(
        folder: Annotated[Path, flag("The backup's folder.")],
        /,
        *,
        new_log_id: Annotated[
            bool,
            flag("Begin another log with the same past: what auditors hold is not contradicted."),
        ] = False,
        keys_lost: Annotated[
            bool, flag("There is no keys.db any more: who was erased since comes back.")
        ] = False,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """Bring a backup into a data folder without a log, while no server runs on it.

        Who was erased since is erased again before anything can be served.
        """
        with open_restore(data_dir, keys_lost) as backups:
            restored = backups.restore(folder, new_log_id=new_log_id, advance=say)
        if json:
            print_json(restored)
        else:
            print_facts(
                {
                    "log": restored.log_id,
                    "events": restored.head,
                    "erased again": len(restored.erased_again),
                }
            )
        return 0
