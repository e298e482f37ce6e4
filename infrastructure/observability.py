"""What operators read of a running service: lines on stderr."""

import logging
import re
import sys
from contextlib import suppress

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from infrastructure.settings_values import LogFormat, LogLevel

_QUERY = re.compile(r"\?([^\s\"]*=[^\s\"]*)")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]+")
_HARMLESS = frozenset({"EIO", "transport", "t", "chat_id", "reply_id"})
"""Query parameters shown in logs. Stream tokens, event ids and Engine.IO's `sid` open something."""

_QUIET = {
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    # Its records can hold what a provider answered, keys and people's text included.
    "LiteLLM": logging.CRITICAL,
}
_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")


def redacted(text: str) -> str:
    """The text without what a log must not hold: secrets in query strings, bearer tokens."""
    # Most are a single word, and are read by neither expression.
    if "?" in text:
        text = _QUERY.sub(_redacted_query, text)
    if len(text.split(None, 1)) > 1:
        text = _BEARER.sub(r"\1[redacted]", text)
    return text


def _redacted_query(match: re.Match[str]) -> str:
    return "?" + "&".join(_redacted_parameter(part) for part in match[1].split("&"))


def _redacted_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return parameter if not equals or name in _HARMLESS else f"{name}=[redacted]"


_NOT_OURS = ("color_message", "litellm_redacted")
"""What libraries hang on their records for handlers of their own."""


def _drop_extras(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name in _NOT_OURS:
        event.pop(name, None)
    return event


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = redacted(value)
    return event


class Lines:
    """What our own loggers write with: straight to stderr, a line at a time.

    By way of the standard library's loggers a line costs twice as much.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, line: str) -> None:
        # Where nobody reads the lines any more, nobody can be told so, and requests go on.
        with suppress(OSError, ValueError):
            # One call, so that lines of several threads and processes do not mix.
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = write


_loggers = structlog.stdlib.LoggerFactory(ignore_frame_names=[__name__])


def _lines_of(*arguments: str) -> Lines:
    """Named as one of the standard library's would be: for the module that asks."""
    return Lines(_loggers(*arguments).name)


def configure_logging(level: LogLevel = "info", form: LogFormat = "auto") -> None:
    """Sends structlog's and the standard library's records to stderr.

    With `auto` people at a terminal get lines, everything else JSON. uvicorn must run with
    `log_config=None`, or it replaces this.
    """
    wanted = logging.getLevelNamesMapping()[level.upper()]
    stamps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering = _rendering(form == "console" or (form == "auto" and sys.stderr.isatty()))
    structlog.configure(
        processors=[*stamps, *rendering],
        logger_factory=_lines_of,
        wrapper_class=structlog.make_filtering_bound_logger(wanted),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*stamps, structlog.stdlib.ExtraAdder(), _drop_extras],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    # Libraries' would tell below `info` what people write.
    logging.basicConfig(handlers=[handler], level=max(wanted, logging.INFO), force=True)
    _calm_libraries()


def _rendering(console: bool) -> list[Processor]:
    # Tracebacks without local variables: those hold people's texts and keys.
    written: list[Processor] = [structlog.processors.format_exc_info, _redact]
    if console:
        return [*written, structlog.dev.ConsoleRenderer()]
    return [*written, structlog.processors.JSONRenderer(ensure_ascii=False)]


def _calm_libraries() -> None:
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
