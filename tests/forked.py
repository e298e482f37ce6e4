"""Servers forked from a process that has loaded the libraries, which is most of what a start costs.

The libraries are loaded in a process of multiprocessing's that does nothing but fork: it has no
loop, no thread and no connection that a child could miss.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.preloaded"])


class ForkedServer:
    """`dabir serve`, with the part of `subprocess.Popen` that the tests use."""

    def __init__(self, environ: Mapping[str, str], cwd: Path) -> None:
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
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; minus the signal's number where one ended it. Raises TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("dabir serve", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _serve(environ: dict[str, str], cwd: str, stderr: Any) -> None:
    """In the child."""
    descriptor = stderr.detach()
    os.setsid()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["dabir", "serve"]

    import dabir

    dabir.main()
