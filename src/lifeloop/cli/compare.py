"""`lifeloop compare`: two candidates of the last cycle on the same examples."""

from pathlib import Path

import click

from lifeloop.cli import render
from lifeloop.core.evidence import Comparison


@click.command(short_help="Test two candidates on the same examples.")
@click.argument("a")
@click.argument("b")
@click.option("--metric", default="", help="The metric; by default the first objective's and every guard's.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def command(folder: Path, a: str, b: str, metric: str, as_json: bool) -> None:
    """Test candidates A and B (names from the last leaderboard) on the validation examples both answered.

    \b
    Examples:
      lifeloop compare tfidf minilm
      lifeloop compare tfidf smollm --metric calibration_error
    """
    from lifeloop.lifecycle.history import compare_candidates
    from lifeloop.project import open_project

    found = compare_candidates(open_project(folder), a, b, metric)
    if as_json:
        render.as_json(found)
        return
    click.echo(f"{a} against {b}, on what both answered:")
    for row in found:
        click.echo(f"  {render.comparison_line(row)}\n    {row.method}")
        if row.e_value is not None and row.worse_e_value is not None:
            click.echo(f"    {_at_any_look(row, a, b)}")
    click.echo("Validation is for exploring: only the gate's test split decides.")


def _at_any_look(row: Comparison, a: str, b: str) -> str:
    """Return what may be looked at after every new example, in words."""
    assert row.e_value is not None and row.worse_e_value is not None, "asked before"
    interval = f", interval {row.always_low:+.4f} to {row.always_high:+.4f}" if row.always_low is not None else ""
    return f"at any look: e = {row.e_value:.3g} that {a} is better, {row.worse_e_value:.3g} that {b} is{interval}"
