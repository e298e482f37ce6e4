"""Servers and commands forked from a process that has loaded the libraries, which costs most.

The libraries are loaded in a process of multiprocessing's that does nothing but fork: it has no
loop, no thread and no connection that a child could miss.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import connection
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.preloaded"])


class ForkedServer:
    """`dabir serve`, with the part of `subprocess.Popen` that the tests use."""

    def __init__(self, environ: Mapping[str, str], cwd: Path) -> None:
        self._lock = threading.Lock()
        reading, writing = os.pipe()
        self._process = FORKING.Process(
            target=_serve, args=(dict(environ), str(cwd), DupFd(writing)), daemon=True
        )
        self._process.start()
        os.close(writing)
        self.stderr = os.fdopen(reading, encoding="utf-8")

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        with self._lock:  # its code can be read only once, and several threads ask
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; minus the signal's number where one ended it. Raises TimeoutExpired."""
        connection.wait([self._process.sentinel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("dabir serve", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_command(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    cwd: Path,
    given: bytes = b"",
    timeout: float = 60.0,
) -> "subprocess.CompletedProcess[bytes]":
    """`dabir ARGUMENTS`, as `subprocess.run` would run it. `given` is its standard input."""
    with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        stdin.write(given)
        stdin.seek(0)
        streams = [DupFd(each.fileno()) for each in (stdin, stdout, stderr)]
        process = FORKING.Process(
            target=_run, args=(list(arguments), dict(environ), str(cwd), *streams), daemon=True
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["dabir", *arguments], timeout)
        said = [_contents(each) for each in (stdout, stderr)]
        return subprocess.CompletedProcess(["dabir", *arguments], process.exitcode, *said)


def _contents(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _serve(environ: dict[str, str], cwd: str, stderr: Any) -> None:
    """In the child."""
    log = stderr.detach()
    _run(["serve"], environ, cwd, None, log, log)


def _run(
    arguments: list[str], environ: dict[str, str], cwd: str, stdin: Any, stdout: Any, stderr: Any
) -> None:
    """In the child: streams are descriptors, or what is yet to become one."""
    os.setsid()
    for number, stream in enumerate((stdin, stdout, stderr)):
        if stream is not None:
            os.dup2(stream if isinstance(stream, int) else stream.detach(), number)
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing had put another in its place
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["dabir", *arguments]

    import dabir

    dabir.main()
