"""`dabir audit`: seal the log, list what was signed, prove, and verify."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App

from application.errors import ConfigurationError
from interfaces.cli.arguments import AsJson, DataDir, flag
from interfaces.cli.exit_codes import FAULTS_FOUND
from interfaces.cli.output import print_facts, print_json, print_table, progress, say

if TYPE_CHECKING:
    from application.audit import AuditTrail, Checkpoint

OpenTrail = Callable[[Path | None], "AbstractContextManager[AuditTrail]"]


def add_audit(app: App, open_trail: OpenTrail) -> None:
    group = App(name="audit", help="Seal the log, and prove that nothing in it was changed.")
    app.command(group)

    @group.command(name="seal")
    def seal_command(*, json: AsJson = False, data_dir: DataDir = None) -> int:
        """Sign for all events there are now, beside a running server or without one."""
        with open_trail(data_dir) as trail:
            with progress("sealing") as advance:
                fresh = trail.seal(advance)
            delivered = _delivered(trail)
            last = fresh or trail.last()
            facts = {
                "sealed": last.size if last else 0,
                "root": last.root.hex() if last else None,
                "new": fresh is not None,
                "unsealed": trail.head() - (last.size if last else 0),
                "delivered": delivered,
            }
        print_json(facts) if json else print_facts(facts)
        return 0 if delivered is not None else FAULTS_FOUND

    @group.command(name="key")
    def key_command(*, data_dir: DataDir = None) -> int:
        """Print the public key that auditors check with; made with its private one at need."""
        with open_trail(data_dir) as trail:
            print(trail.verifier_key)
        return 0

    @group.command(name="checkpoints")
    def checkpoints_command(
        *,
        last: Annotated[int, flag("Only the last so many; 0 for all.")] = 20,
        to: Annotated[Path | None, flag("Write them into this folder instead.")] = None,
        json: AsJson = False,
        data_dir: DataDir = None,
    ) -> int:
        """List what was signed, oldest first."""
        with open_trail(data_dir) as trail:
            found = trail.checkpoints(last or None)
            if to is not None:
                say(f"{_written(trail, found, to)} checkpoints are in {to}")
            elif json:
                for each in found:
                    print_json(_fields(each))
            else:
                print_table(("size", "root", "signed", "delivered"), map(_row, found))
        return 0

    proofs = App(name="prove", help="Proofs that `dabir audit verify` and auditors check.")
    group.command(proofs)

    @proofs.command(name="inclusion")
    def inclusion_command(
        position: int,
        *,
        size: Annotated[int | None, flag("In the checkpoint of so many events.")] = None,
        data_dir: DataDir = None,
    ) -> int:
        """Prove that an event is among those signed for, by the last checkpoint by default."""
        with open_trail(data_dir) as trail:
            print_json(trail.prove_inclusion(position, size))
        return 0

    @proofs.command(name="consistency")
    def consistency_command(old: int, new: int, *, data_dir: DataDir = None) -> int:
        """Prove that the checkpoint of NEW events continues that of OLD ones."""
        with open_trail(data_dir) as trail:
            print_json(trail.prove_consistency(old, new))
        return 0

    @group.command(name="verify")
    def verify_command(
        export: Path | None = None,
        *,
        key: Annotated[tuple[str, ...], flag("NAME+ID+KEY, or a file of it; repeatable.")] = (),
        checkpoints: Annotated[
            tuple[str, ...], flag("A checkpoint's file, or a folder of them; repeatable.")
        ] = (),
        json: AsJson = False,
        progress: Annotated[bool, flag("With --json: also lines that say how far it is.")] = False,
        data_dir: DataDir = None,
    ) -> int:
        """Check an export or a proof by key and checkpoints alone, or else the log itself.

        Exit code 1 if anything is not as it was sealed.
        """
        if export is not None:
            if not key:
                raise ConfigurationError("--key is needed: what was signed with it is believed.")
            return _verify_export(export, key, checkpoints, json)
        if key or checkpoints:
            raise ConfigurationError("--key and --checkpoints go with an export or a proof.")
        with open_trail(data_dir) as trail:
            return _verify_log(trail, json, lines=json and progress)


def _delivered(trail: "AuditTrail") -> int | None:
    """How many checkpoints were taken; None where one was refused."""
    try:
        return trail.deliver()
    except OSError as error:
        say(f"dabir: signed, but not delivered: {error}")
        return None


def _written(trail: "AuditTrail", found: Iterable["Checkpoint"], folder: Path) -> int:
    try:
        return trail.write(found, folder)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error}.") from None


def _verify_export(export: Path, keys: tuple[str, ...], notes: tuple[str, ...], json: bool) -> int:
    from interfaces.cli.audit_verify import Auditor, Unusable, check, notes_in, show

    try:
        auditor = Auditor(keys, notes_in(notes))
        with progress("verifying") as advance:
            figures = check(export, auditor, advance)
    except (Unusable, OSError, EOFError) as error:
        raise ConfigurationError(str(error)) from None
    return show(figures, auditor, json)


def _verify_log(trail: "AuditTrail", json: bool, *, lines: bool) -> int:
    count = 0
    with progress("verifying", lines=lines) as advance:
        for fault in trail.faults(advance):
            count += 1
            if json:
                print_json(fault)
            else:
                place = "" if fault.position is None else f"position {fault.position}: "
                print(place + fault.what)
    last, head = trail.last(), trail.head()
    sealed = last.size if last else 0
    facts = {"events": head, "sealed": sealed, "unsealed": head - sealed, "faults": count}
    print_json(facts) if json else print_facts(facts)
    return FAULTS_FOUND if count else 0


def _fields(checkpoint: "Checkpoint") -> dict[str, object]:
    return {
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "signed_at": _time(checkpoint.signed_at),
        "delivered_at": _time(checkpoint.delivered_at),
        "note": checkpoint.note,
    }


def _row(checkpoint: "Checkpoint") -> tuple[object, ...]:
    fields = _fields(checkpoint)
    return tuple(fields[name] for name in ("size", "root", "signed_at", "delivered_at"))


def _time(micros: int | None) -> str | None:
    from datetime import UTC, datetime

    if micros is None:
        return None
    return datetime.fromtimestamp(micros / 1_000_000, UTC).isoformat(timespec="seconds")
