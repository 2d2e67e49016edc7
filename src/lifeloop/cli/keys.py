"""`lifeloop keys`: who may ask the gateway, and how much."""

import contextlib
import getpass
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lifeloop.cli import render
from lifeloop.core.keys import SCOPES, KeyLimits

if TYPE_CHECKING:
    from lifeloop.gateway.protection.declared_keys import DeclaredKey
    from lifeloop.lifecycle.api_keys import KeyState, MadeKey
    from lifeloop.store.ledger import Ledger

JSON = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
BY = click.option("--by", default="", help="Who answers for it; by default who is logged in.")
REQUESTS = click.option("--requests-per-minute", type=click.IntRange(0), help="Requests in any minute; 0 for no limit.")
TOKENS = click.option("--tokens-per-minute", type=click.IntRange(0), help="Tokens in any minute; 0 for no limit.")
USD = click.option("--usd-per-day", type=click.FloatRange(0), help="Money in a day of UTC; 0 for no limit.")


@click.group(short_help="API keys: create, list, rotate, limit, revoke.")
def command() -> None:
    """API keys of the gateway.

    While none was ever created or declared the gateway answers everybody who reaches it. From the first one on every
    request needs a key, and it stays so when the last is revoked. Running gateways heed a change within a second.
    An ID may be cut short, as long as no other key's begins alike.

    \b
    Examples:
      lifeloop keys create website --scope infer --scope feedback --requests-per-minute 600
      lifeloop keys list
      lifeloop keys rotate 3kd81jx0a2mz --overlap 24
      lifeloop keys limit 3kd81jx0a2mz --usd-per-day 20
      lifeloop keys revoke 3kd81jx0a2mz
    """


@command.command(short_help="Make a key and print it, once.")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it is for; may be repeated. admin includes the others. [default: infer, feedback]",
)
@click.option("--project", "projects", multiple=True, help="Only for this project; may be repeated.")
@REQUESTS
@TOKENS
@USD
@click.option("--expires", "days", type=click.FloatRange(0, min_open=True), help="Days for which it is valid.")
@BY
@JSON
@click.pass_obj
def create(
    folder: Path,
    name: str,
    scopes: tuple[str, ...],
    projects: tuple[str, ...],
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    usd_per_day: float | None,
    days: float | None,
    by: str,
    as_json: bool,
) -> None:
    """Make a key for NAME and print it. It is shown this once: only a hash of its secret is kept.

    \b
    Examples:
      lifeloop keys create website --requests-per-minute 600
      lifeloop keys create dashboard --scope admin --expires 30 --by "Ann Lee"
    """
    from lifeloop.lifecycle.api_keys import create_key

    if projects:
        _warn_of_others(folder, projects)
    limits = KeyLimits(requests_per_minute or 0, tokens_per_minute or 0, usd_per_day or 0.0)
    with _ledger(folder) as ledger:
        made = create_key(
            ledger,
            name,
            scopes=scopes or ("infer", "feedback"),
            projects=projects,
            limits=limits,
            days=days or 0.0,
            by=by or _user(),
            clock=time.time,
        )
    _tell(made, as_json)


@command.command("list", short_help="How all keys stand.")
@JSON
@click.pass_obj
def list_keys(folder: Path, as_json: bool) -> None:
    """List all keys with what they may do: those of the ledger, and those declared in this environment.

    Secrets are not kept, so none is shown.
    """
    from lifeloop.gateway.protection.declared_keys import read_declared
    from lifeloop.lifecycle.api_keys import key_states

    declared = read_declared()
    with _ledger(folder) as ledger:
        states = [*key_states(ledger, time.time()), *(_declared(each) for each in declared or ())]
    if as_json:
        render.as_json(states)
        return
    if not states and declared is None:
        click.echo("no API key was ever created or declared: the gateway answers everybody who reaches it")
    elif not states:
        click.echo("the list of declared API keys is empty: the gateway answers nobody")
    for state in states:
        click.echo(_line(state))


@command.command(short_help="Give a key a new secret; the old one works on for a while.")
@click.argument("id")
@click.option("--overlap", type=click.FloatRange(0), default=24.0, show_default=True, help="Hours the old one works.")
@BY
@JSON
@click.pass_obj
def rotate(folder: Path, id: str, overlap: float, by: str, as_json: bool) -> None:
    """Give the key ID a new secret and print it, once. Until the overlap ends both work, so that nobody is locked out.

    A key has at most two secrets: rotated again, the one before the last ends at once.

    \b
    Examples:
      lifeloop keys rotate 3kd81jx0a2mz
      lifeloop keys rotate 3kd81jx0a2mz --overlap 0
    """
    from lifeloop.lifecycle.api_keys import rotate_key

    with _ledger(folder) as ledger:
        made = rotate_key(ledger, id, hours=overlap, by=by or _user(), clock=time.time)
    _tell(made, as_json)


@command.command(short_help="Change what a key may ask for.")
@click.argument("id")
@REQUESTS
@TOKENS
@USD
@BY
@JSON
@click.pass_obj
def limit(
    folder: Path,
    id: str,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    usd_per_day: float | None,
    by: str,
    as_json: bool,
) -> None:
    """Change limits of the key ID. What is not named stays as it is; 0 lifts a limit.

    \b
    Examples:
      lifeloop keys limit 3kd81jx0a2mz --tokens-per-minute 50000 --usd-per-day 20
      lifeloop keys limit 3kd81jx0a2mz --requests-per-minute 0
    """
    from lifeloop.lifecycle.api_keys import limit_key

    named: dict[str, Any] = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "usd_per_day": usd_per_day,
    }
    changed = {name: value for name, value in named.items() if value is not None}
    if not changed:
        raise click.UsageError("name a limit: --requests-per-minute, --tokens-per-minute or --usd-per-day")
    with _ledger(folder) as ledger:
        state = limit_key(ledger, id, by=by or _user(), clock=time.time, **changed)
    render.as_json(state) if as_json else click.echo(_line(state))


@command.command(short_help="End a key for good.")
@click.argument("id")
@BY
@JSON
@click.pass_obj
def revoke(folder: Path, id: str, by: str, as_json: bool) -> None:
    """End the key ID with all its secrets. It cannot be taken back; the list keeps it."""
    from lifeloop.lifecycle.api_keys import revoke_key

    with _ledger(folder) as ledger:
        state = revoke_key(ledger, id, by=by or _user(), clock=time.time)
    render.as_json(state) if as_json else click.echo(_line(state))


@contextlib.contextmanager
def _ledger(folder: Path) -> "Iterator[Ledger]":
    from lifeloop.place import ledger_url, read_brief_text
    from lifeloop.store.ledger import open_ledger

    read_brief_text(folder)  # keys belong to a project; a ledger beside nothing would be a slip of the folder
    with contextlib.closing(open_ledger(ledger_url(folder))) as ledger:
        yield ledger


def _declared(found: "DeclaredKey") -> "KeyState":
    from lifeloop.lifecycle.api_keys import KeyState

    key = found.key
    return KeyState(
        id=key.id,
        name=key.name,
        state="valid",
        scopes=tuple(scope for scope in SCOPES if scope in key.scopes),
        projects=key.projects,
        limits=key.limits,
        expires=None,
        created=None,
        created_by="",
        changed=None,
        changed_by="",
        overlap=None,
        source=found.source,
    )


def _warn_of_others(folder: Path, projects: tuple[str, ...]) -> None:
    """Say where a key is not for the project in whose folder it is made: a slip, or a ledger that several share."""
    from lifeloop.core.brief import parse_brief
    from lifeloop.place import BRIEF_FILE, read_brief_text

    name = parse_brief(read_brief_text(folder), BRIEF_FILE).project.name
    if name not in projects:
        click.echo(f"this project is {name!r}: its gateway refuses a key for {', '.join(projects)} alone", err=True)


def _tell(made: "MadeKey", as_json: bool) -> None:
    if as_json:
        render.as_json(made)
        return
    click.echo(made.key)
    click.echo(f"the key {made.id} of {made.name}; keep it now, nobody can show it again", err=True)
    if made.works_until:
        click.echo(f"the one before works until {_time(made.works_until)}", err=True)


def _line(state: "KeyState") -> str:
    limits = state.limits
    parts = [f"{state.id}  {state.name}", state.state, "+".join(state.scopes)]
    parts += [f"for {', '.join(state.projects)}"] if state.projects else []
    parts += [f"{limits.requests_per_minute} requests a minute"] if limits.requests_per_minute else []
    parts += [f"{limits.tokens_per_minute} tokens a minute"] if limits.tokens_per_minute else []
    parts += [f"{limits.usd_per_day:g} USD a day"] if limits.usd_per_day else []
    parts += [f"expires {_time(state.expires)}"] if state.expires else []
    parts += [f"the secret before works until {_time(state.overlap)}"] if state.overlap else []
    if state.created is None or state.changed is None:
        return ", ".join([*parts, f"declared in {state.source}"])
    parts.append(f"created {_time(state.created)} by {state.created_by}")
    if state.changed > state.created:
        parts.append(f"changed {_time(state.changed)} by {state.changed_by}")
    return ", ".join(parts)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that nobody is named for
        return ""
