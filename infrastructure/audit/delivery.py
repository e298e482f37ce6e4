"""Handing checkpoints to whoever audits: into a folder, or by POST to a URL."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from sqlalchemy import Engine, update

from application.audit import Checkpoint
from application.errors import ConfigurationError
from application.ports import Clock
from infrastructure import whole_files
from infrastructure.audit.checkpoints import checkpoint_of, checkpoints, rows
from infrastructure.event_store.schema import micros
from infrastructure.settings_values import is_url

SUFFIX = ".checkpoint"
AT_ONCE = 100
"""Checkpoints read in one transaction."""
TIMEOUT = 10.0
"""Seconds for each step of a POST."""

HandOut: TypeAlias = Callable[[Checkpoint], None]

_waiting = rows.where(checkpoints.c.delivered_at.is_(None)).order_by(checkpoints.c.size)


class Delivery:
    """What was not taken is tried again, the oldest first, and never signed anew.

    Three steps for the caller, so that no transaction is open while the auditor's side answers.
    """

    def __init__(self, reading: Engine, writing: Engine, target: str, clock: Clock) -> None:
        """`target` is a folder or an http(s) URL, as in DABIR_AUDIT_CHECKPOINTS."""
        self._reading = reading
        self._writing = writing
        self._clock = clock
        self._folder = None if is_url(target) else Path(target).expanduser()
        self.hand_out = _to_url(target) if self._folder is None else to_folder(self._folder)

    hand_out: HandOut
    """Gives the auditor one checkpoint, again where it was given before. Raises OSError."""

    def newest_held(self) -> str | None:
        """The last checkpoint in the auditor's folder, by whoever; a URL does not tell.

        Raises ConfigurationError.
        """
        if self._folder is None:
            return None
        last = max(self._folder.glob(f"*{SUFFIX}"), default=None)
        try:
            return None if last is None else last.read_text(errors="replace")
        except OSError as error:
            raise ConfigurationError(f"{last} cannot be read: {error.strerror}.") from None

    def waiting(self) -> list[Checkpoint]:
        """The next ones to hand out; none when all were taken."""
        with self._reading.begin() as connection:
            found = connection.execute(_waiting.limit(AT_ONCE)).all()
        return [checkpoint_of(row) for row in found]

    def taken(self, checkpoint: Checkpoint) -> None:
        note = update(checkpoints).where(checkpoints.c.size == checkpoint.size)
        with self._writing.begin() as connection:
            connection.execute(note.values(delivered_at=micros(self._clock.now())))


def to_folder(folder: Path) -> HandOut:
    """Files that anybody may read, whose names sort by size. The folder is made if missing.

    One that is there is never replaced by another: it may be all that tells a fork.
    """

    def write(checkpoint: Checkpoint) -> None:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o755)
        path, note = folder / f"{checkpoint.size:012}{SUFFIX}", checkpoint.note.encode()
        if not path.exists():
            whole_files.replace(path, note, mode=0o644)
        elif path.read_bytes() != note:
            raise FileExistsError(f"{path} is another checkpoint of {checkpoint.size} events")

    return write


class _NoRedirects(HTTPRedirectHandler):
    # A redirected POST becomes a GET, which would look as if it had been taken.
    def redirect_request(self, *_: object) -> None:
        return None


def _to_url(url: str) -> HandOut:
    """Any 2xx counts as taken."""
    opener = build_opener(_NoRedirects)

    def post(checkpoint: Checkpoint) -> None:
        request = Request(  # noqa: S310 - the settings take http and https only
            url,
            data=checkpoint.note.encode(),
            headers={"Content-Type": "text/plain; charset=utf-8"},
            method="POST",
        )
        try:
            opener.open(request, timeout=TIMEOUT).close()
        except HTTPError as error:
            error.close()
            raise OSError(f"the auditor's address answered {error.code}") from None

    return post
