"""`dabir projections`: how the views are, building them anew, and proving them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cyclopts import App

from interfaces.cli.arguments import AsJson, DataDir
from interfaces.cli.exit_codes import FAULTS_FOUND
from interfaces.cli.output import Advance, print_facts, print_json, print_table, progress, say

if TYPE_CHECKING:
    from application.projections import BuildStatus, Projections, Rebuilt, ViewsStatus

OpenProjections: TypeAlias = "Callable[[Path | None], AbstractContextManager[Projections]]"


def add_projections(app: App, open_projections: OpenProjections) -> None:
    group = App(
        name="projections", help="The views: how they are, building them anew, proving them."
    )
    app.command(group)

    @group.command(name="status")
    def status_command(*, json: AsJson = False, data_dir: DataDir = None) -> int:
        """Show the live generation, how far it is, what it set aside, and a build under way."""
        with open_projections(data_dir) as projections:
            status = projections.status()
        if json:
            print_json(status)
        else:
            _show(status)
        return 0

    @group.command(name="rebuild")
    def rebuild_command(*, json: AsJson = False, data_dir: DataDir = None) -> int:
        """Build a new generation from the log, beside a running server, and turn to it."""
        with open_projections(data_dir) as projections:
            return _build(projections.rebuild, json)

    @group.command(name="resume")
    def resume_command(*, json: AsJson = False, data_dir: DataDir = None) -> int:
        """Go on with a build that was broken off."""
        with open_projections(data_dir) as projections:
            return _build(projections.resume, json)

    @group.command(name="cancel")
    def cancel_command(*, json: AsJson = False, data_dir: DataDir = None) -> int:
        """Take back a build that was broken off; the live views stay as they are."""
        with open_projections(data_dir) as projections:
            generation = projections.cancel()
        if json:
            print_json({"cancelled": generation})
        else:
            print(f"The build of generation {generation} was taken back.")
        return 0

    @group.command(name="verify")
    def verify_command(*, json: AsJson = False, data_dir: DataDir = None) -> int:
        """Build aside from the log and compare row by row; exits with 1 on any difference."""
        from application.projections import EventNotApplied

        with open_projections(data_dir) as projections:
            try:
                with progress("Building aside") as advance:
                    verified = projections.verify(advance)
            except EventNotApplied as stopped:
                return _stopped(stopped, json)
        if json:
            print_json(verified)
        elif verified.differences:
            print_table(
                ("table", "key", "column", "live", "rebuilt"),
                [(d.table, d.key, d.column, d.live, d.rebuilt) for d in verified.differences],
            )
        else:
            print(
                f"Generation {verified.generation} is what the log says at position"
                f" {verified.position}: {verified.rows} rows are alike."
            )
        return FAULTS_FOUND if verified.differences else 0


def _build(build: "Callable[[Advance], Rebuilt]", json: bool) -> int:
    from application.projections import EventNotApplied

    try:
        with progress("Building views") as advance:
            rebuilt = build(advance)
    except EventNotApplied as stopped:
        code = _stopped(stopped, json)
        say("The live views are as before. `dabir projections cancel` takes the build back.")
        return code
    except KeyboardInterrupt:
        say("Broken off. `dabir projections resume` goes on, `cancel` takes it back.")
        raise
    if json:
        print_json(rebuilt)
        return 0
    rate = f", {rebuilt.events / rebuilt.seconds:,.0f} events/s" if rebuilt.seconds > 1 else ""
    print(f"Generation {rebuilt.generation} is live at position {rebuilt.position}{rate}.")
    return 0


def _stopped(stopped: "Exception", json: bool) -> int:
    say(f"dabir: {stopped}")
    if json:
        print_json(
            {name: getattr(stopped, name) for name in ("view", "stream_id", "position", "error")}
        )
    return FAULTS_FOUND


def _show(status: "ViewsStatus") -> None:
    print_facts(
        {
            "version of the views' code": status.code_version,
            "live generation": status.generation or "none",
            "position": f"{status.position} of {status.head}",
            "lag": status.lag,
            "bytes": status.bytes,
            "kept up by a server": _server_words(status),
            "build": _build_words(status.build),
            "streams set aside": len(status.set_aside),
        }
    )
    if status.set_aside:
        print()
        print_table(
            ("view", "stream", "position", "error"),
            [(s.view, s.stream_id, s.position, s.error) for s in status.set_aside],
        )


def _server_words(status: "ViewsStatus") -> str:
    alive = "yes" if status.server else "no"
    if status.runner is None:
        return alive
    return f"{alive}, {'' if status.server else 'last '}by node {status.runner}"


def _build_words(build: "BuildStatus | None") -> str:
    if build is None:
        return "none"
    return f"generation {build.generation} {build.state} at {build.position}, begun at {build.head}"
