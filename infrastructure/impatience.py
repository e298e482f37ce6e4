"""Connections of PostgreSQL that are not waited for for ever."""

import select
import socket
import threading
import time
import weakref
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool

PATIENCE_SECONDS = 15.0


class Impatience:
    """One thread that cuts connections which were taken from a pool long ago and not given back.

    What was broken while nobody used it is noticed when it is taken.
    """

    def __init__(self) -> None:
        self._taken: dict[int, tuple[float, weakref.ref[Any]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, pool: Pool) -> None:
        event.listen(pool, "checkout", self._note)
        event.listen(pool, "checkin", self._forget)

    def _note(self, connection: Any, record: Any, _proxy: object) -> None:
        """Raises DisconnectionError, upon which the pool takes another one."""
        driver = record.driver_connection
        if driver.closed or (_has_news(driver.fileno()) and not _answers(connection)):
            raise DisconnectionError
        with self._lock:
            self._taken[id(record)] = (time.monotonic(), weakref.ref(driver))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._look, name="postgres-impatience", daemon=True
                )
                self._thread.start()

    def _forget(self, _connection: object, record: Any) -> None:
        with self._lock:
            self._taken.pop(id(record), None)

    def _look(self) -> None:
        while True:
            time.sleep(1.0)
            latest = time.monotonic() - PATIENCE_SECONDS
            with self._lock:
                late = [(key, ref) for key, (since, ref) in self._taken.items() if since < latest]
                for key, _ in late:
                    del self._taken[key]
            for _, ref in late:
                driver = ref()
                if driver is not None and not driver.closed:
                    cut(driver.fileno())


def _has_news(descriptor: int) -> bool:
    """Whether something came though nothing was asked: mostly that the connection has ended."""
    news = select.poll()
    news.register(descriptor, select.POLLIN)
    return bool(news.poll(0))


def _answers(connection: Any) -> bool:
    try:
        connection.cursor().execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def cut(descriptor: int) -> None:
    """End a connection under whoever waits for its answer; they get an error."""
    connection = socket.socket(fileno=descriptor)
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it had ended by itself
    finally:
        connection.detach()
