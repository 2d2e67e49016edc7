"""`lifeloop rollback`: back to what was in production before, at once."""

import time
from pathlib import Path

import click

from lifeloop.cli import render
from lifeloop.core.content import short


@click.command(short_help="Take back the running rollout, or what is in production.")
@click.option("--reason", default="taken back by hand", show_default=True, help="Why, for the record.")
@click.option("--by", default="", help="Who, for the record; by default you.")
@click.option("--to", default="", metavar="RELEASE", help="Another release that was in production before.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def command(folder: Path, reason: str, by: str, to: str, as_json: bool) -> None:
    """Take back what came last: the running rollout, or else what is in production for the release before it.

    Every running gateway follows within a second; requests in flight finish where they began. History is kept: a
    release that comes back is a new line of it. Needs no verdict, since the release before had one.

    \b
    Examples:
      lifeloop rollback
      lifeloop rollback --reason "complaints about refunds" --by "Ann Lee"
      lifeloop rollback --to 93e0d8d1
    """
    from lifeloop.lifecycle.taking_back import rollback
    from lifeloop.project import open_project

    ended = rollback(open_project(folder), by=by or user_name(), reason=reason, to=to, clock=time.time)
    if as_json:
        render.as_json(ended)
        return
    click.echo(f"taken back: {ended.name} (release {short(ended.release)}), by {ended.by}: {ended.reason}")
    click.echo(f"in production: {ended.production_name} (release {short(ended.production)})")


def user_name() -> str:
    """Return the name that the system knows this user by; "" where it knows none."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
