"""The command line: thin commands over the stack, the demo, the doctor and what operators ask.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the stack is not running or its database does not
answer, 4 this machine lacks something. `verify`, `health` and `replay` tell what they found: 0 ok,
1 warn, 2 fail.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from uuid import UUID

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from taximeter import __version__
from taximeter import install as installing
from taximeter.doctor import examine
from taximeter.operations import asking, showing
from taximeter.stack import supervisor
from taximeter.stack.postgres import PostgresError
from taximeter.stack.settings import (
    API_PORT,
    DATABASE_PORT,
    Settings,
    StackError,
    load_keys,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

FAILED = 1
NOT_RUNNING = 3
LACKING = 4

app = typer.Typer(
    name="taximeter",
    help="The meter for paid live sessions, running inside a Supabase database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
database_app = typer.Typer(help="The stack's database.", no_args_is_help=True)
admin_app = typer.Typer(help="What only the operator does.", no_args_is_help=True)
app.add_typer(database_app, name="db")
app.add_typer(admin_app, name="admin")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")]
ApiPort = Annotated[int, typer.Option(min=1, max=65535, help="Port of the API.")]
DatabasePort = Annotated[int, typer.Option(min=1, max=65535, help="Port of the database.")]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database-url",
        "--db-url",
        envvar="TAXIMETER_DB_URL",
        help="Another database than the stack's.",
    ),
]


def _moment(text: str) -> datetime:
    """A time, UTC where it names no zone, or how long ago: 90min, 24h, 7d."""
    span = re.fullmatch(r"(\d{1,6})\s*(min|h|d)", text)
    if span:
        unit = {"min": "minutes", "h": "hours", "d": "days"}[span[2]]
        return datetime.now(UTC) - timedelta(**{unit: int(span[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is neither a time, as 2026-01-31T12:00, nor a span, as 90min, 24h or 7d."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Since = Annotated[
    datetime | None,
    typer.Option(parser=_moment, metavar="TIME|SPAN", help="From then on, as 2026-01-31 or 7d."),
]
Session = Annotated[UUID, typer.Argument(help="The id of a session.")]


def _say(line: str) -> None:
    err.print(f"[dim]•[/dim] {line}")


def _print_json(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value, indent=2, default=str)}\n")


def _not_running() -> NoReturn:
    err.print("[red]The stack is not running.[/red] Start it with `taximeter up`.")
    raise typer.Exit(NOT_RUNNING)


def _database(db_url: str) -> str:
    return db_url or _running(Settings()).database_url


def _tell(answer: object, shown: RenderableType, as_json: bool, status: str = asking.OK) -> None:
    """Prints an answer and ends with the exit code of its status."""
    if as_json:
        _print_json(answer)
    else:
        out.print(shown)
    if status != asking.OK:
        raise typer.Exit(asking.exit_code(status))


def _running(settings: Settings) -> supervisor.State:
    state = supervisor.read_state(settings) if supervisor.is_running(settings) else None
    if state is None or state.phase != "ready":
        _not_running()
    return state


def _facts(settings: Settings, state: supervisor.State) -> dict[str, Any]:
    keys = load_keys(settings.keys_file)
    return {
        "running": True,
        "api_url": state.api_url,
        "db_url": state.database_url,
        "publishable_key": keys.publishable,
        "secret_key": keys.secret,
        "jwt_secret": keys.jwt_secret,
        "dispatch_secret": keys.dispatch_secret,
        "cron_secret": keys.cron_secret,
        "health_secret": keys.health_secret,
        "parts": supervisor.parts_health(settings, state),
        "directory": str(settings.directory),
        "pid": state.pid,
    }


def _show(facts: dict[str, Any]) -> None:
    labels = {
        "api_url": "API",
        "db_url": "Database",
        "publishable_key": "Publishable key",
        "secret_key": "Secret key",
        "jwt_secret": "JWT secret",
        "dispatch_secret": "Dispatch secret",
        "cron_secret": "Cron secret",
        "health_secret": "Health secret",
        "directory": "Folder",
    }
    for key, label in labels.items():
        out.print(f"[bold]{label:<16}[/] {escape(str(facts[key]))}", soft_wrap=True)
    well = [f"{'[green]✓' if ok else '[red]✗'} {part}[/]" for part, ok in facts["parts"].items()]
    out.print(f"[bold]{'Parts':<16}[/] {'  '.join(well)}", soft_wrap=True)


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once it is ready; it goes on.")
    ] = False,
    api_port: ApiPort = API_PORT,
    db_port: DatabasePort = DATABASE_PORT,
    as_json: Json = False,
) -> None:
    """Start the local stack: PostgreSQL, the migrations and demo people, and on one URL REST, Auth,
    Storage, Realtime and the edge functions.

    The functions read supabase/functions/.env too. Stays in the foreground until Ctrl-C or
    `taximeter down`, and ends with an error when a part dies. A port that is taken is replaced by
    another.
    """
    settings = Settings(api_port=api_port, database_port=db_port, seed=True)
    if supervisor.is_running(settings):
        _say("Already running.")
        status(as_json=as_json)
        return
    if detach:
        with err.status("Starting the stack"):
            state = supervisor.start_detached(settings)
        for part, asked, got in (
            ("API", api_port, int(state.api_url.rsplit(":", 1)[1])),
            ("database", db_port, state.database_port),
        ):
            if asked != got:
                _say(f"Port {asked} is taken, the {part} uses {got} instead")
        status(as_json=as_json)
        return

    def say(line: str) -> None:
        _say(line)
        state = supervisor.read_state(settings)
        if line.startswith("Ready") and state:
            facts = _facts(settings, state)
            if as_json:
                _print_json(facts)
            else:
                _show(facts)
                _say("Ctrl-C ends it.")

    supervisor.run_until_signalled(settings, say)


@app.command()
def down() -> None:
    """End the local stack, whichever shell started it. Its data stays."""
    stopped = supervisor.stop_running(Settings())
    _say("The stack has ended." if stopped else "The stack was not running.")


@app.command()
def status(as_json: Json = False) -> None:
    """Show where the stack is, its keys, and whether its parts answer."""
    settings = Settings()
    state = supervisor.read_state(settings)
    if not supervisor.is_running(settings) or state is None or state.phase != "ready":
        if as_json:
            _print_json({"running": False, "reason": state.message if state else ""})
        elif state and state.message:
            reason = escape(f"{state.message} {state.hint}")
            err.print(f"[red]The stack ended:[/red] {reason}")
        if as_json:
            raise typer.Exit(NOT_RUNNING)
        _not_running()
    facts = _facts(settings, state)
    if as_json:
        _print_json(facts)
    else:
        _show(facts)
    if not all(facts["parts"].values()):
        raise typer.Exit(FAILED)


@app.command()
def demo(
    wait: Annotated[
        int, typer.Option(min=3, max=120, help="Seconds for which the session is live.")
    ] = 3,
) -> None:
    """Play three sessions: one ended by a person, one by the clock, and a paid one."""
    # The client libraries take their time, and no other command needs them.
    from taximeter import demo as demonstration

    demonstration.run(out, _say, wait_seconds=wait)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete the stack's data and apply the migrations and the seed anew. The keys stay."""
    settings = Settings(seed=True)
    if not yes:
        typer.confirm(f"Delete all data and files in {settings.directory}?", abort=True)
    was_running = supervisor.stop_running(settings)
    for folder in (settings.cluster_directory, settings.storage_directory):
        shutil.rmtree(folder, ignore_errors=True)
    if not was_running:
        _say("The database is deleted; `taximeter up` makes a new one.")
        return
    with err.status("Starting the stack anew"):
        supervisor.start_detached(settings)
    _say("The stack runs in the background, with an empty database.")
    status()


@app.command()
def psql(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Passed on to psql, after `--`.")
    ] = None,
) -> None:
    """Open psql on the stack's database, as `postgres`."""
    program = shutil.which("psql")
    if program is None:
        raise StackError("psql is not installed.", "`taximeter doctor` tells how to get it.")
    url = _running(Settings()).database_url
    os.execv(program, [program, url, *(arguments or [])])  # noqa: S606


@app.command()
def doctor(as_json: Json = False) -> None:
    """Tell what is missing on this machine and how to get it."""
    findings = examine()
    if as_json:
        _print_json([asdict(finding) for finding in findings])
    else:
        table = Table("", "what", "found", "what to do", box=None, padding=(0, 2, 0, 0))
        for finding in findings:
            mark = "[green]✓[/]" if finding.ok else "[red]✗[/]" if finding.required else "[dim]·[/]"
            table.add_row(mark, finding.name, finding.found, "" if finding.ok else finding.remedy)
        out.print(table)
    if any(finding.required and not finding.ok for finding in findings):
        raise typer.Exit(LACKING)


@app.command()
def verify(since: Since = None, as_json: Json = False, db_url: DatabaseUrl = "") -> None:
    """Look for everything that is wrong, in eleven sections. Changes nothing.

    Without --since it looks at the last 35 days. Exit code: 0 ok, 1 warn, 2 fail.
    """
    with err.status("Verifying"):
        answer = asking.verify(_database(db_url), since)
    _tell(answer.as_json(), showing.verification(answer), as_json, answer.status)


@app.command()
def health(
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Again and again, to Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds between two looks of --watch.")
    ] = 5,
    as_json: Json = False,
    db_url: DatabaseUrl = "",
) -> None:
    """Show how it goes: the score of the day, alerts and what settles them, jobs, effects.

    Exit code, with --watch that of the last look: 0 ok, 1 warn, 2 fail.
    """
    url = _database(db_url)
    if watch:
        _watch(url, every, as_json)
    answer = asking.health(url)
    _tell(answer.as_json(), showing.health(answer), as_json, answer.status)


def _watch(url: str, every: float, as_json: bool) -> NoReturn:
    """A screen where somebody looks; elsewhere one look after the other, JSON one a line."""
    code = NOT_RUNNING

    def look() -> RenderableType:
        nonlocal code
        try:
            answer = asking.health(url)
        except asking.AskError as error:
            code = NOT_RUNNING
            if as_json:
                return json.dumps({"status": None, "error": error.message})
            return f"[bold red]✗ {escape(error.message)}[/] {escape(error.hint)}"
        code = asking.exit_code(answer.status)
        if as_json:
            return json.dumps(answer.as_json(), default=str)
        return showing.health(answer)

    try:
        if out.is_terminal and not as_json:
            with Live(console=out, screen=True, auto_refresh=False) as live:
                while True:
                    live.update(look(), refresh=True)
                    time.sleep(every)
        while True:
            looked = look()
            if isinstance(looked, str) and as_json:
                sys.stdout.write(f"{looked}\n")
                sys.stdout.flush()
            else:
                out.print(looked)
            time.sleep(every)
    except KeyboardInterrupt:
        raise typer.Exit(code) from None


@app.command()
def replay(
    session: Annotated[
        UUID | None, typer.Argument(help="The id of a session; without one, all of them.")
    ] = None,
    since: Since = None,
    as_json: Json = False,
    db_url: DatabaseUrl = "",
) -> None:
    """Hold sessions against their event logs. Changes nothing.

    Exit code: 0 when every row is what its events say, else 2.
    """
    url = _database(db_url)
    if session is None:
        with err.status("Replaying"):
            differences = asking.replay_all(url, since)
        status = asking.FAIL if differences else asking.OK
        _tell(differences, showing.replays(differences), as_json, status)
        return
    if since is not None:
        raise typer.BadParameter("Give a session or --since, not both.")
    answer = asking.replay_one(url, str(session))
    status = asking.FAIL if answer.difference is not None else asking.OK
    _tell(asdict(answer), showing.replay(answer), as_json, status)


@app.command()
def explain(session: Session, as_json: Json = False, db_url: DatabaseUrl = "") -> None:
    """Tell the whole story of a session: what happened, what was decided and why, the money."""
    answer = asking.explain(_database(db_url), str(session))
    _tell(answer, showing.account(answer), as_json)


@app.command()
def install(
    into: Annotated[
        Path, typer.Option(help="The folder of a Supabase project, made by `supabase init`.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; tell what differs.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files of Taximeter's that were changed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy migrations, functions, types and config entries into your own Supabase project.

    What is yours stays as it is. Done again with a newer version, it brings what is new.
    Exit code of --check: 0 when nothing differs, else 1.
    """
    plan = installing.survey(into)
    if not check:
        installing.install(plan, force=force)
    if as_json:
        _print_json(plan.as_json())
    else:
        _show_plan(plan, done=not check)
    if check and not plan.is_clean:
        raise typer.Exit(FAILED)


def _show_plan(plan: installing.Plan, *, done: bool) -> None:
    for setting in plan.settings:
        out.print(f"[yellow]![/] For you to change: {escape(setting)}", soft_wrap=True)
    if plan.is_clean:
        out.print("Nothing differs.")
    elif done:
        changed = len(plan.writes) + len(plan.removals)
        out.print(f"Taximeter {__version__} is in place. Files changed: {changed}.")
        out.print("Next: `supabase db push`, `supabase functions deploy`, and the secrets that")
        out.print("docs/edge-functions.md lists, by `supabase secrets set`.")
    else:
        for obstacle in plan.obstacles:
            out.print(f"[red]✗[/] {escape(obstacle)}", soft_wrap=True)
        for difference in plan.differences:
            line = f"{difference.state:<9} supabase/{difference.path}: {difference.meaning}"
            out.print(escape(line), soft_wrap=True)


@database_app.command("url")
def database_url() -> None:
    """Print the address of the stack's database, for `psql` or any other tool."""
    sys.stdout.write(f"{_running(Settings()).database_url}\n")


@admin_app.command("grant")
def admin_grant(
    email: Annotated[str, typer.Argument(help="The e-mail of a person who has signed up.")],
    db_url: DatabaseUrl = "",
) -> None:
    """Make a person an admin: the first one has nobody else to do it."""
    from taximeter.people import grant_admin

    user_id = grant_admin(_database(db_url), email)
    _say(f"{email} ({user_id}) is an admin.")


def main() -> None:
    """Runs the command line; what a person can act on is told in words, not as a trace."""
    try:
        app()
    except PostgresError as error:
        err.print(f"[bold red]Error:[/bold red] {escape(str(error))}", soft_wrap=True)
        sys.exit(FAILED)
    except StackError as error:
        err.print(f"[bold red]Error:[/bold red] {escape(error.message)}", soft_wrap=True)
        if error.hint:
            err.print(f"  {escape(error.hint)}", soft_wrap=True)
        sys.exit(NOT_RUNNING if isinstance(error, asking.AskError) else FAILED)


if __name__ == "__main__":
    main()
