"""`lifeloop release`: from a verdict to traffic, at once or in steps."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from lifeloop.cli import render
from lifeloop.core.content import short

STRATEGIES = ("direct", "shadow", "canary", "ab")


@click.command(short_help="Begin the release of a verdict, or list what became of releases.")
@click.argument("verdict", required=False, default="")
@click.option("--strategy", type=click.Choice(STRATEGIES), help="Other than the brief's release.strategy.")
@click.option("--finish", is_flag=True, help="Put the running rollout's release in production now.")
@click.option("--by", default="", help="With --finish: who answers for it; by default you.")
@click.option("--reason", default="", help="With --finish: why it goes to all traffic now.")
@click.option("--list", "listed", is_flag=True, help="List releases and rollouts, with their figures.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def command(
    folder: Path, verdict: str, strategy: str | None, finish: bool, by: str, reason: str, listed: bool, as_json: bool
) -> None:
    """Begin the release of VERDICT (an id or its beginning; by default the last that promotes and waits for it).

    Only a verdict that promotes is taken. With `strategy = "canary"` (shadow, ab) in the brief's [release] the release
    gets traffic in steps; every running gateway takes part, and the figures decide what comes next.

    \b
    Examples:
      lifeloop release
      lifeloop release 5cfed9ce0de0 --strategy canary
      lifeloop release --list
      lifeloop release --finish --by "Ann Lee" --reason "the shadow's answers are fine"
    """
    if sum((bool(verdict or strategy), finish, listed)) > 1:
        raise click.UsageError("give a verdict (and a strategy), or --finish, or --list")
    if (by or reason) and not finish:
        raise click.UsageError("--by and --reason go with --finish")
    from lifeloop.cli.rollback import user_name
    from lifeloop.lifecycle import releasing, rollout_history, taking_back
    from lifeloop.project import open_project

    project = open_project(folder)
    if listed:
        told = rollout_history.releases_told(project, time.time)
        if as_json:
            render.as_json(told)
            return
        for one in told:
            _release(one)
        if not told:
            click.echo("no release yet: `lifeloop run` gives a verdict")
        return
    if finish:
        ended = taking_back.finish(project, by=by or user_name(), reason=reason, clock=time.time)
        if as_json:
            render.as_json(ended)
            return
        click.echo(f"in production: {ended.name} (release {short(ended.release)}), by {ended.by}: {ended.reason}")
        return
    found, begun = releasing.release_verdict(project, verdict=verdict, strategy=strategy or "", clock=time.time)
    if as_json:
        render.as_json(begun)
        return
    click.echo(f"verdict {short(found.id)} of cycle {found.cycle}: {found.reason}")
    click.echo(render.begun_line(begun))


def _release(told: Any) -> None:
    """Print a release and what became of it."""
    mark = click.style("  in production", fg="green") if told.in_production else ""
    click.echo(f"{short(told.release)}  {told.name}, by verdict {short(told.verdict)}{mark}")
    for step in told.decided:
        when = datetime.fromtimestamp(step.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        by = f" by {step.by}" if step.by else ""
        share = f" {step.share:.1%}" if step.what in STRATEGIES else ""
        reason, *more = render.clauses(step.reason)
        click.echo(f"  {when}  {step.what.replace('_', ' ')}{share}{by}: {reason}")
        for clause in more:
            click.echo(f"{'':23}{clause}")
    own, total = told.served
    if total:
        click.echo(f"  gave {own:,} of {total:,} answers while it was rolled out, {own / total:.1%}")
    for place, line in enumerate(told.figures):
        click.echo(f"  {'' if place else 'now:':4} {line}")
