"""`lifeloop status`: what is in production and where the loop stands, at once."""

import time
from pathlib import Path

import click

from lifeloop.auto import expand
from lifeloop.cli import render
from lifeloop.core.brief import parse_brief
from lifeloop.core.content import short
from lifeloop.place import BRIEF_FILE, ledger_url, read_brief_text
from lifeloop.store.standing import RolloutStanding, Standing, standing


@click.command(short_help="Say what is in production and where the loop stands.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def command(folder: Path, as_json: bool) -> None:
    """Say what is in production and where the loop stands.

    \b
    Examples:
      lifeloop status
      lifeloop -C tickets status --json | jq .name
    """
    brief = expand(parse_brief(read_brief_text(folder), BRIEF_FILE))
    found = standing(ledger_url(folder))
    if as_json:
        render.as_json(found)
        return
    click.echo(f"{brief.project.name}: {brief.project.task}, {len(brief.candidates)} candidates")
    for line in _lines(found, brief.monitor.min_feedback, time.time()):
        click.echo(line)


def _lines(found: Standing, enough: int, now: float) -> list[str]:
    if not found.cycle:
        return ["no cycle yet: `lifeloop plan`, then `lifeloop run`"]
    lines = []
    if found.release:
        ago = _ago(now - found.released_at)
        against = f" against the gate, by {found.release_override_by}" if found.release_override_by else ""
        lines.append(
            f"production  {found.name}, release {short(found.release)}, released {ago}{against}; "
            f"{found.n_releases} so far"
        )
    else:
        lines.append("production  nothing: no verdict has promoted a candidate yet")
    if found.rollout:
        first, *more = render.clauses(found.rollout.reason)
        lines.append(f"rollout     {_rollout(found.rollout, now)}: {first}")
        lines += [f"{'':12}{line}" for line in (*more, *_figures(found.rollout))]
    if found.decided_cycle == found.cycle:
        lines.append(f"cycle {found.cycle}     {found.decision}: {found.reason}")
    else:
        lines.append(f"cycle {found.cycle}     not finished, last done: {found.last_run}; `lifeloop run` goes on")
    new = f"{found.new_feedback} of it new" if found.new_feedback else "none of it new"
    lines.append(f"served      {found.n_events} requests, {found.n_feedback} feedback, {new}")
    if found.new_feedback >= enough:
        lines.append("next        `lifeloop run` learns from the new feedback")
    return lines


def _rollout(row: RolloutStanding, now: float) -> str:
    by = f" by {row.by}" if row.by else ""
    ago = _ago(now - row.at)
    if row.phase == "running":
        share = f"{row.share:.1%} of the traffic"
        if row.strategy == "shadow":
            share = f"{row.share:.1%} of the requests, unseen"
        step = f", step {row.step}" if row.strategy == "canary" else ""
        return f"{short(row.release)}, {row.strategy}{step}: {share}, since {ago}"
    done = "taken back" if row.phase == "rolled_back" else "promoted"
    return f"{short(row.release)}, {row.strategy}, {done} {ago}{by}"


def _figures(row: RolloutStanding) -> list[str]:
    """Return what the present step of a running rollout has come to, as far as that is known at once."""
    if row.phase != "running":
        return []
    failed = f", {row.failed / row.answers:.1%} of them failed" if row.answers else ""
    return [f"{row.answers:,} answers of its own in this step{failed}; `lifeloop release --list` has all figures"]


def _ago(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name} ago"
    return "just now"
