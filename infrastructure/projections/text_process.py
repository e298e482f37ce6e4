"""The texts of a set that is being filled, written and indexed by a process of its own.

That takes two thirds as long as all else of the set, so both cores are needed. The process runs
`text_writer`.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Queue
from types import TracebackType

import msgspec

from infrastructure.projections import text_writer
from infrastructure.projections.new_texts import LENGTH, Changes, NewText
from infrastructure.projections.texts import Move

BATCHES_WAITING = 8


class TextProcess:
    """Implements `texts.Texts`: keeps what a batch has until `hand_over` or `commit`."""

    def __init__(self, views: Path, lock: int | None = None) -> None:
        """`lock` is a descriptor whose lock is not to end before the process."""
        self.forget()
        self._process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", text_writer.__name__, str(views)],
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
        """`committed` is a position to commit with.

        Waits where the process is far behind. Raises RuntimeError where it has ended.
        """
        self._waiting.put(msgspec.msgpack.encode(Changes(self._new, committed)))
        self.forget()
        if self._broken:
            raise self._ended()

    def commit(self, position: int) -> None:
        """What was handed over, and wait until it is in the file. Raises RuntimeError."""
        self.hand_over(position)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != f"{position}\n".encode():
            raise self._ended()

    def _send(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        while (changes := self._waiting.get()) is not None:
            try:
                stdin.write(LENGTH.pack(len(changes)))
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
