"""Several nodes on one port: a process for each, and a parent that keeps them there.

All accept from one listening socket. It goes on when one of them dies, and whoever is free takes
the next connection; a socket for each would spread them more evenly, but reset those that wait in
a dying one's queue.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from selectors import EVENT_READ, DefaultSelector
from types import FrameType

import structlog

log = structlog.get_logger()

STOPPING = (signal.SIGTERM, signal.SIGINT)
FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
"""Seconds until a worker that died is started again; twice as long each time."""
WELL_AFTER = 30.0
"""Seconds after which a death has nothing to do with the one before."""


@dataclass(frozen=True)
class Worker:
    """What a child is given.

    `line` is a descriptor. It ends when the parent wants the child to stop, or is gone; a byte
    written to it says that the child serves.
    """

    port: socket.socket
    line: int


@dataclass(frozen=True)
class _Child:
    number: int
    pid: int
    line: socket.socket
    began: float
    delay: float


class Workers:
    """The parent's side. It has no event loop and holds nothing that a child could miss.

    A child is forked while there is no loop, thread or connection to share.
    """

    def __init__(self, count: int, port: socket.socket, serve: Callable[[Worker], None]) -> None:
        """`serve` runs in each child until it has drained."""
        self._count = count
        self._port = port
        self._serve = serve
        self._children: set[_Child] = set()
        self._due: list[tuple[float, int, float]] = []
        self._told, self._tell = socket.socketpair()
        self._tell.setblocking(False)
        self._events = DefaultSelector()
        self._complete = False
        self._stopping = False
        self._code = 0

    def run(self) -> int:
        """Returns the exit code: 0 if all that were told to stop did so in good order.

        The first worker serves before the others start. If it cannot, its exit code is returned.
        """
        self._events.register(self._told, EVENT_READ)
        for number in STOPPING:
            signal.signal(number, self._signalled)
        self._start(1, FIRST_DELAY)
        while self._children or self._due:
            self._wait()
        return self._code

    def _wait(self) -> None:
        now = time.monotonic()
        timeout = max(0.0, min(self._due)[0] - now) if self._due else None
        for key, _ in self._events.select(timeout):
            if key.data is None:
                self._told.recv(1)
                self._stop()
            elif not key.data.line.recv(1):
                self._ended(key.data)
            elif not self._complete:
                self._complete = True
                self._due += [(now, number, FIRST_DELAY) for number in range(2, self._count + 1)]
        for due in sorted(self._due):
            when, number, delay = due
            if not self._stopping and when <= time.monotonic():
                self._due.remove(due)
                self._start(number, delay)

    def _start(self, number: int, delay: float) -> None:
        ours, theirs = socket.socketpair()
        # In the child a signal must not be taken for one to the parent.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        pid = os.fork()
        if pid == 0:
            self._become_child(ours)
            self._serve(Worker(self._port, theirs.detach()))
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        theirs.close()
        child = _Child(number, pid, ours, time.monotonic(), delay)
        self._children.add(child)
        self._events.register(ours, EVENT_READ, child)
        log.info("worker started", worker=number, pid=pid)

    def _become_child(self, ours: socket.socket) -> None:
        """Let go of the parent's ends, or nobody would hear that the parent is gone."""
        self._events.close()
        for held in (ours, self._told, self._tell, *(child.line for child in self._children)):
            held.close()
        # A terminal or systemd may signal all at once: the parent's word is what counts.
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _ended(self, child: _Child) -> None:
        self._events.unregister(child.line)
        child.line.close()
        self._children.remove(child)
        code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        if self._stopping:
            self._code = max(self._code, int(code != 0))
            log.info("worker stopped", worker=child.number, pid=child.pid, code=code)
            return
        if not self._complete:
            self._code = code if code > 0 else 1
            return
        now = time.monotonic()
        delay = FIRST_DELAY if now - child.began > WELL_AFTER else child.delay
        level = logging.ERROR if code else logging.INFO  # an operator may have told it to go
        log.log(level, "worker died", worker=child.number, pid=child.pid, code=code, again_in=delay)
        self._due.append((now + delay, child.number, min(2 * delay, LONGEST_DELAY)))

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._tell.send(b"!")

    def _stop(self) -> None:
        """At first, let all drain; again, end them at once."""
        if self._stopping:
            for child in self._children:
                os.kill(child.pid, signal.SIGKILL)
            return
        self._stopping = True
        self._due.clear()
        self._port.close()
        for child in self._children:
            child.line.shutdown(socket.SHUT_WR)
