"""The texts of a set that is being filled, written and indexed by a process of its own.

That takes about as long as all else of the set, so both cores are needed. The process gets what
each batch has on its input, commits when it is told to, and answers that on its output. Its input's
end is its own; what was not committed is gone then.
"""

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import BinaryIO

import msgspec
from sqlalchemy import URL, Connection

from infrastructure.database import sync_writer_engine
from infrastructure.projections import checkpoint, search, search_fts5
from infrastructure.projections.search_words import Entry
from infrastructure.projections.texts import Move, NewText

BATCHES_WAITING = 8

_length = struct.Struct("<Q")


class Changes(msgspec.Struct, array_like=True):
    """Of one batch. `committed` is the position to commit with, where that is to be done."""

    new: list[NewText]
    committed: int | None


class TextProcess:
    """Implements `texts.Texts`: keeps what a batch has until `hand_over` or `commit`."""

    def __init__(self, views: Path, lock: int | None = None) -> None:
        """`lock` is a descriptor whose lock is not to end before the process."""
        self.forget()
        self._process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", __name__, str(views)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            pass_fds=() if lock is None else (lock,),
            # Ctrl-C is the parent's to answer.
            start_new_session=True,
        )
        self._waiting: Queue[bytes | None] = Queue(BATCHES_WAITING)
        self._broken = False
        self._sender = threading.Thread(target=self._send, name="views-texts", daemon=True)
        self._sender.start()

    def __enter__(self) -> "TextProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._waiting.put(None)
        self._sender.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()

    def move(self, moves: Sequence[Move]) -> None:
        """Nothing ever changes hands in a set that is being filled."""
        assert not moves

    def add(self, new: Sequence[NewText]) -> None:
        self._new += new

    def forget(self) -> None:
        """What was not handed over."""
        self._new: list[NewText] = []

    def hand_over(self, committed: int | None = None) -> None:
        """Waits where the process is far behind. Raises RuntimeError where it has ended."""
        self._waiting.put(msgspec.msgpack.encode(Changes(self._new, committed)))
        self.forget()
        if self._broken:
            raise self._ended()

    def commit(self, position: int) -> None:
        """Hand over, and wait until all is on the disk."""
        self.hand_over(position)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != f"{position}\n".encode():
            raise self._ended()

    def _send(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        while (changes := self._waiting.get()) is not None:
            try:
                stdin.write(_length.pack(len(changes)))
                stdin.write(changes)
                stdin.flush()
            except BrokenPipeError:
                # Whoever hands over is told; what waits is taken, so that nobody waits for ever.
                self._broken = True
        try:
            stdin.close()
        except BrokenPipeError:
            self._broken = True

    def _ended(self) -> RuntimeError:
        return RuntimeError(f"the process of the texts has ended with {self._process.wait()}")


def main(views: Path, changes: BinaryIO) -> None:
    engine = sync_writer_engine(URL.create("sqlite", database=str(views)), synchronous="OFF")
    with engine.begin() as connection:
        search_fts5.prepare_filling(connection)
    with engine.connect() as connection:
        while (position := _take(connection, changes)) is not None:
            checkpoint.move(connection, position)
            connection.commit()
            print(position, flush=True)
    engine.dispose()


def _take(connection: Connection, changes: BinaryIO) -> int | None:
    """Apply what comes, up to where it is to be committed; None at the end."""
    while (frame := _next_frame(changes)) is not None:
        batch = _decoder.decode(frame)
        if batch.new:
            # Past SQLAlchemy's statements, which take longer than to write it.
            rows = [(text.number, text.content, text.reasoning) for text in batch.new]
            connection.exec_driver_sql(_INSERT, rows)
        search.add(connection, [Entry(t.number, t.owner, t.content) for t in batch.new])
        if batch.committed is not None:
            return batch.committed
    return None


def _next_frame(changes: BinaryIO) -> bytes | None:
    """None at the end, also in the midst of a frame: then the filling has died."""
    head = changes.read(_length.size)
    if len(head) < _length.size:
        return None
    frame = changes.read(length := _length.unpack(head)[0])
    return frame if len(frame) == length else None


_INSERT = "INSERT INTO texts (number, content, reasoning) VALUES (?, ?, ?)"
_decoder = msgspec.msgpack.Decoder(Changes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdin.buffer)
