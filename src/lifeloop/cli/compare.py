"""`lifeloop compare`: two candidates of the last cycle on the same examples."""

from pathlib import Path

import click

from lifeloop.cli import render


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
    click.echo("Validation is for exploring: only the gate's test split decides.")
