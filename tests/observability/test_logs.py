"""What logs look like, and what they never hold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.observability import redacted

PROGRAM = """
import logging, structlog
from infrastructure.observability import configure_logging
early = structlog.get_logger("early")
configure_logging()
early.info("hello", count=3)
access = ("192.0.2.1:5", "GET", "/api/v1/messages/send?stream_token=abc", "1.1", 200)
logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *access)
logging.getLogger("httpx").info("not wanted")
logging.getLogger("LiteLLM").error("not wanted")
early.debug("not wanted")
try:
    private = "somebody's text"
    raise RuntimeError("Bearer abc.def.ghi")
except RuntimeError:
    early.exception("failed")
"""


LEVELS = """
import logging, structlog
from infrastructure.observability import configure_logging
configure_logging(*{arguments})
logging.getLogger("sqlalchemy").debug("of a library")
for name in ("infrastructure.observer", "dabir"):
    log = structlog.get_logger(name)
    structlog.contextvars.bind_contextvars(request="17")
    log.debug("detail"), log.info("news"), log.warning("trouble")
"""


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_records_of_all_kinds_are_json_without_secrets_or_locals() -> None:
    done = run(PROGRAM)
    hello, access, failed = (json.loads(line) for line in done.stderr.splitlines())
    assert done.stdout == ""
    assert (hello["event"], hello["count"], hello["logger"]) == ("hello", 3, "early")
    assert hello["level"] == "info"
    assert hello["timestamp"].endswith("Z")
    assert "stream_token=[redacted] HTTP/1.1" in access["event"]
    assert "RuntimeError: Bearer [redacted]" in failed["exception"]
    assert "somebody" not in done.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/send?last_event_id=a.b&chat_id=7", "/send?last_event_id=[redacted]&chat_id=7"),
        ("/send?a=1?b=2", "/send?a=[redacted]"),
        ("/socket.io/?EIO=4&sid=xyz&t=1", "/socket.io/?EIO=4&sid=[redacted]&t=1"),
        ("/send?stream%5Ftoken=abc", "/send?stream%5Ftoken=[redacted]"),
        ("authorization: bearer a.b-c_d", "authorization: bearer [redacted]"),
        ("Bearer\ta.b", "Bearer\t[redacted]"),
        ("?token=abc", "?token=[redacted]"),
        ("Really? Yes, 1 = 1.", "Really? Yes, 1 = 1."),
    ],
)
def test_query_strings_and_bearer_tokens_are_redacted(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    ("level", "told"),
    [("debug", ["detail", "news", "trouble"]), ("info", ["news", "trouble"]),
     ("warning", ["trouble"]), ("error", [])],
)  # fmt: skip
def test_the_level_is_that_of_our_own_lines(level: str, told: list[str]) -> None:
    done = run(LEVELS.replace("{arguments}", repr((level, "json"))))
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == 2 * told
    assert all(line["request"] == "17" for line in lines)


def test_people_get_lines_where_they_ask_for_them() -> None:
    done = run(LEVELS.replace("{arguments}", repr(("info", "console"))))
    first = done.stderr.splitlines()[0]
    assert "news" in first
    assert "request" in first
    assert not first.startswith("{")


def test_who_reads_the_lines_no_more_stops_nothing() -> None:
    program = """
import os, structlog, sys
from infrastructure.observability import configure_logging
configure_logging()
reads, writes = os.pipe()
os.close(reads)
sys.stderr = os.fdopen(writes, "w")
structlog.get_logger("dabir").info("into a broken pipe")
sys.stderr = None
print("went on", flush=True)
os._exit(0)
"""
    assert run(program).stdout == "went on\n"
