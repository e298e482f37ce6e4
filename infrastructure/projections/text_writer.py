"""The program of the process that writes and indexes the texts of a set that is being filled.

It gets what each batch has on its input, commits when it is told to, and answers that on its
output. Its input's end is its own; what was not committed is gone then. It loads neither SQLAlchemy
nor the other views: that would take it longer than the texts of some ten thousand events.
"""

import sqlite3
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from infrastructure.projections import fts5
from infrastructure.projections.new_texts import LENGTH, Changes
from infrastructure.projections.search_words import Entry

CACHE_KIB = 32 * 1024

_INSERT = "INSERT INTO texts (number, content, reasoning) VALUES (?, ?, ?)"
_MOVE = "UPDATE checkpoint SET position = ?"
_decoder = msgspec.msgpack.Decoder(Changes)


def main(views: Path, changes: BinaryIO) -> None:
    connection = sqlite3.connect(views, isolation_level=None)
    # The file is in WAL mode already. What is committed is folded back between two transactions,
    # while nobody waits for it.
    for pragma in ("synchronous=OFF", f"cache_size=-{CACHE_KIB}", "wal_autocheckpoint=0"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(fts5.SET, fts5.FILLING)
    while (position := _take(connection, changes)) is not None:
        connection.execute(_MOVE, (position,))
        connection.execute("COMMIT")
        print(position, flush=True)
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        connection.execute("BEGIN IMMEDIATE")
    connection.close()


def _take(connection: sqlite3.Connection, changes: BinaryIO) -> int | None:
    """Apply what comes, up to where it is to be committed; None at the end."""
    while (frame := _next_frame(changes)) is not None:
        batch = _decoder.decode(frame)
        new = batch.new
        connection.executemany(_INSERT, [(t.number, t.content, t.reasoning) for t in new])
        entries = [Entry(t.number, t.owner, t.content) for t in new if t.content]
        connection.executemany(fts5.ADD, fts5.rows_of(entries))
        if batch.committed is not None:
            return batch.committed
    return None


def _next_frame(changes: BinaryIO) -> bytes | None:
    """None at the end, also in the midst of a frame: then the filling has died."""
    head = changes.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    frame = changes.read(length := LENGTH.unpack(head)[0])
    return frame if len(frame) == length else None


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdin.buffer)
