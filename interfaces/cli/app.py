"""The command line: `dabir serve`, `dabir token mint`, and the groups of operator's commands."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from application.errors import ConfigurationError
from domain.refusal import Refusal
from interfaces.cli.exit_codes import INTERRUPTED, REFUSED, WRONG_USAGE
from interfaces.cli.output import say


@dataclass(frozen=True)
class ServeFlags:
    """None is a flag not given: the settings decide."""

    host: str | None = None
    port: int | None = None
    data_dir: Path | None = None
    workers: int | None = None


@dataclass(frozen=True)
class MintFlags:
    """`expires` is a duration as it was typed, such as `24h`."""

    sub: str
    scopes: tuple[str, ...]
    expires: str


def build_app(
    serve: Callable[[ServeFlags], int],
    mint: Callable[[MintFlags], str],
    groups: Sequence[Callable[[App], None]] = (),
) -> App:
    """The commands, around what the composition root does for them.

    Each group adds commands of its own. All may raise ConfigurationError and refusals, and should
    import what is heavy only when called.
    """
    app = App(
        name="dabir",
        help="A self-hosted chat backend that can prove what was said and what it cost.",
        version=lambda: version("dabir"),
        result_action="return_value",
        # Markdown would take longer to import than everything else together.
        help_format="plaintext",
    )

    @app.command(name="serve")
    def serve_command(
        *,
        host: Annotated[str | None, _flag("The address to listen on.")] = None,
        port: Annotated[int | None, _flag("The port; 0 takes any free one.")] = None,
        data_dir: Annotated[Path | None, _flag("The folder that keeps everything.")] = None,
        workers: Annotated[int | None, _flag("Nodes on this port; PostgreSQL only.")] = None,
    ) -> int:
        """Serve HTTP and Socket.IO until told to stop. Flags go before settings."""
        return serve(ServeFlags(host=host, port=port, data_dir=data_dir, workers=workers))

    tokens = App(name="token", help="Tokens for signed-in users.")
    app.command(tokens)

    @tokens.command(name="mint")
    def mint_command(
        *,
        sub: Annotated[str, _flag("Who the token is for.")],
        scope: Annotated[
            tuple[str, ...],
            _flag("What else it may do, such as dabir:admin; repeatable.", default=False),
        ] = (),
        expires: Annotated[str, _flag("How long it is good for: 30m, 24h, 7d.")] = "24h",
    ) -> int:
        """Print a token for development, signed with DABIR_JWT_SECRET."""
        print(mint(MintFlags(sub=sub, scopes=scope, expires=expires)))
        return 0

    for add_to in groups:
        add_to(app)
    return app


def _flag(words: str, *, default: bool = True) -> Parameter:
    return Parameter(help=words, negative=(), show_default=None if default else False)


def run(
    app: App,
    arguments: Sequence[str] | None = None,
    outside_cause: Callable[[Exception], str | None] = lambda error: None,
) -> int:
    """Runs one command line (the process's own by default) and returns its exit code.

    What is wrong with flags or settings, or cannot be done, is said on stderr, a line for each
    thing; `outside_cause` tells what else is no bug, in words. Ctrl-C and a reader that has gone
    (`| head`) end a command in good order.
    """
    try:
        code = app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (CycloptsError, ConfigurationError) as error:
        _complain(error)
        return WRONG_USAGE
    except Refusal as refusal:
        _complain(refusal)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PermissionError as error:
        _complain(f"{error.filename}: {error.strerror}.")
        return REFUSED
    except Exception as error:
        if (words := outside_cause(error)) is None:
            raise
        _complain(words)
        return REFUSED
    return code if isinstance(code, int) else 0


def _complain(error: Exception | str) -> None:
    for line in str(error).splitlines():
        say(f"dabir: {line}")
