"""The command line: thin commands over the stack, the demo and the doctor.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the stack is not running, 4 this machine lacks
something.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from taximeter import demo as demonstration
from taximeter.doctor import examine
from taximeter.people import grant_admin
from taximeter.stack import supervisor
from taximeter.stack.postgres import PostgresError
from taximeter.stack.settings import (
    API_PORT,
    DATABASE_PORT,
    Settings,
    StackError,
    load_keys,
)

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
    str, typer.Option(envvar="TAXIMETER_DB_URL", help="Another database than the stack's.")
]


def _say(line: str) -> None:
    err.print(f"[dim]•[/dim] {line}")


def _print_json(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value, indent=2, default=str)}\n")


def _not_running() -> NoReturn:
    err.print("[red]The stack is not running.[/red] Start it with `taximeter up`.")
    raise typer.Exit(NOT_RUNNING)


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
        "directory": "Folder",
    }
    for key, label in labels.items():
        out.print(f"[bold]{label:<16}[/] {escape(str(facts[key]))}", soft_wrap=True)
    well = [f"{'[green]✓' if ok else '[red]✗'} {part}[/]" for part, ok in facts["parts"].items()]
    out.print(f"[bold]{'Parts':<16}[/] {'  '.join(well)}")


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once it is ready; it goes on.")
    ] = False,
    api_port: ApiPort = API_PORT,
    db_port: DatabasePort = DATABASE_PORT,
    as_json: Json = False,
) -> None:
    """Start the local stack: PostgreSQL, the migrations, REST and Auth on one URL.

    Stays in the foreground until Ctrl-C or `taximeter down`, and ends with an error when a part
    dies. A port that is taken is replaced by another.
    """
    settings = Settings(api_port=api_port, database_port=db_port)
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
    demonstration.run(out, _say, wait_seconds=wait)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete the stack's data and apply the migrations anew. The keys stay."""
    settings = Settings()
    if not yes:
        typer.confirm(f"Delete all data in {settings.cluster_directory}?", abort=True)
    was_running = supervisor.stop_running(settings)
    shutil.rmtree(settings.cluster_directory, ignore_errors=True)
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
    user_id = grant_admin(db_url or _running(Settings()).database_url, email)
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
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
