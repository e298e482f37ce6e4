"""`dabir keys`: what seals the contents of the log."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from cyclopts import App

from interfaces.cli.arguments import AsJson, DataDir
from interfaces.cli.output import Advance, print_facts, print_json, progress


class Keys(Protocol):
    @property
    def seals(self) -> bool: ...

    def counts(self) -> dict[str, int]: ...

    def rotate(self, advance: Advance) -> int: ...


Open = Callable[[Path | None], AbstractContextManager[Keys]]


def add_keys(app: App, open_keys: Open, open_sealing_keys: Open) -> None:
    """`open_sealing_keys` refuses where there is no master key."""
    keys = App(name="keys", help="The keys that seal what people write.")
    app.command(keys)

    @keys.command(name="status")
    def status(*, json: AsJson = False, data_dir: DataDir = None) -> int:
        """How many streams are sealed, under which master keys, and how many were erased."""
        with open_keys(data_dir) as ring:
            counts = ring.counts()
            facts = {
                "new contents are sealed": ring.seals,
                "streams with a key": counts["kept"],
                "of these under an older master key": counts["old"],
                "erased streams": counts["dropped"],
            }
        if json:
            print_json({"seals": facts["new contents are sealed"], **counts})
        else:
            print_facts({name: _word(value) for name, value in facts.items()})
        return 0

    @keys.command(name="rotate")
    def rotate(*, json: AsJson = False, data_dir: DataDir = None) -> int:
        """Wrap every stream's key under the newest master key; contents stay as they are.

        The older keys stand after the newest in DABIR_MASTER_KEY or its file until this is done.
        """
        with open_sealing_keys(data_dir) as ring, progress("wrapping", "keys") as advance:
            wrapped = ring.rotate(advance)
        if json:
            print_json({"wrapped": wrapped})
        else:
            print(f"{wrapped} keys were wrapped under the newest master key")
        return 0


def _word(value: object) -> object:
    return ("no", "yes")[value] if isinstance(value, bool) else value
