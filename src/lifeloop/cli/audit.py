"""`lifeloop audit`: whether the record of decisions is whole."""

from pathlib import Path

import click

from lifeloop.cli import render
from lifeloop.core.content import short
from lifeloop.core.errors import GateError


@click.command(short_help="Check that no verdict was changed, and that its evidence is there.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def command(folder: Path, as_json: bool) -> None:
    """Check that no verdict was changed, and that its evidence is there.

    Recomputes the chain of hashes over the ledger's verdicts, holds each against the vault, and checks that every
    release and every rollout rests on a verdict that promotes it. Ends with exit code 1 if anything is wrong.

    \b
    Examples:
      lifeloop audit
      lifeloop audit --json | jq -r .head
    """
    from lifeloop.lifecycle.audit import audit
    from lifeloop.project import open_project

    found = audit(open_project(folder))
    if as_json:
        render.as_json(found)
    else:
        for verdict in found.verdicts:
            by = f" by {verdict.override_by}, against the gate" if verdict.override_by else ""
            click.echo(
                f"{_mark(verdict.problems)} verdict {verdict.sequence:<3} {short(verdict.id)}  cycle {verdict.cycle}: "
                f"{verdict.decision}{by}  {short(verdict.hash)}"
            )
            _problems(verdict.problems)
        for release in found.releases:
            click.echo(
                f"{_mark(release.problems)} release {release.sequence:<3} {short(release.id)}  {release.name}, "
                f"by verdict {short(release.verdict)}"
            )
            _problems(release.problems)
        for rollout in found.rollouts:
            click.echo(
                f"{_mark(rollout.problems)} rollout {rollout.sequence:<3} {short(rollout.release)}  "
                f"{rollout.strategy}: {rollout.phase.replace('_', ' ')}"
            )
            _problems(rollout.problems)
        _problems(found.problems)
    if found.n_problems:
        things = "1 thing is" if found.n_problems == 1 else f"{found.n_problems} things are"
        raise GateError(
            f"{things} wrong with the record of decisions",
            where=found.ledger,
            fix="restore ledger and vault from a backup from before it went wrong, and find out who wrote to them",
        )
    if not as_json:
        click.echo(f"the chain of {len(found.verdicts)} verdicts is whole; its head is {found.head or 'nothing yet'}")


def _mark(problems: tuple[str, ...]) -> str:
    return click.style("✗", fg="red") if problems else click.style("✓", fg="green")


def _problems(problems: tuple[str, ...]) -> None:
    for problem in problems:
        click.echo(f"    {click.style('wrong', fg='red')}  {problem}")
