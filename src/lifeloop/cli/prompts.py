"""`lifeloop prompts`: the versions of a project's prompts, what changed between them, and how they answer."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeloop.cli import render
from lifeloop.core.content import short

if TYPE_CHECKING:
    from lifeloop.lifecycle.prompt_trying import Attempt
    from lifeloop.lifecycle.prompts import Version

JSON = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
SYSTEM_NOTICE = "the system prompt changed: it carries the security rules, so let a second person read it"


@click.group(short_help="Versions of prompts, what changed, and how they answer.")
def command() -> None:
    """Versions of the prompts in prompts/NAME/{system,user}.md: history, differences, and trying one by hand.

    \b
    Examples:
      lifeloop prompts list
      lifeloop prompts history main
      lifeloop prompts diff main
      lifeloop prompts try main --input "where is my parcel?"
    """


@command.command("list", short_help="The prompts there are, and who uses them.")
@JSON
@click.pass_obj
def list_(folder: Path, as_json: bool) -> None:
    """List the prompts that candidates use, with the version that the folder holds.

    \b
    Examples:
      lifeloop prompts list
      lifeloop prompts list --json
    """
    from lifeloop.lifecycle.prompts import version_id
    from lifeloop.project import open_project, prompt_of

    project = open_project(folder)
    rows = [
        {
            "name": name,
            "version": version_id(prompt),
            "candidates": [each for each, table in project.brief.candidates.items() if prompt_of(table) == name],
        }
        for name, prompt in sorted(project.prompts.items())
    ]
    if as_json:
        render.as_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']:<16} {short(str(row['version']))}  used by {', '.join(row['candidates'])}")
    if not rows:
        click.echo('No candidate names a prompt. Write prompts/NAME/system.md and user.md, and prompt = "NAME".')


@command.command(short_help="Every version, and how its candidates fared.")
@click.argument("name", required=False, default="")
@JSON
@click.pass_obj
def history(folder: Path, name: str, as_json: bool) -> None:
    """Show every version of the prompt NAME (by default of all), oldest first, with the trials of each.

    Trials are on validation, by the first objective, with its interval.

    \b
    Examples:
      lifeloop prompts history
      lifeloop prompts history main --json
    """
    from lifeloop.lifecycle import prompts
    from lifeloop.project import open_project

    found = prompts.history(open_project(folder), name)
    if as_json:
        render.as_json(found)
        return
    for version in found:
        for line in _version(version):
            click.echo(line)
    if not found:
        click.echo("No candidate uses a prompt yet.")


def _version(version: "Version") -> Iterator[str]:
    first = f"since cycle {version.cycle}" if version.cycle else "not tried yet"
    author = f", written by {version.written_by}" if version.written_by else ""
    here = ", in the folder now" if version.current else ""
    yield f"{version.name}  {short(version.id)}  {first}{author}{here}"
    if version.system_changed:
        yield click.style(f"    {SYSTEM_NOTICE}", fg="yellow")
    for use in version.uses:
        value = use.value
        fared = (
            f"{value.metric} {value.value:.4f} ({value.low:.3f} to {value.high:.3f}), {value.n} examples, "
            f"cycle {use.cycle}"
            if value
            else "not tried"
        )
        yield f"    {use.candidate:<16} {fared}"
        if use.search:
            yield (
                f"      searched with {use.search.calls} calls, {len(use.search.tried)} trials, "
                f"{use.search.discarded} proposals discarded; chosen: {use.search.chosen}"
            )


@command.command(short_help="What changed between two versions.")
@click.argument("name")
@click.argument("before", metavar="[A]", required=False, default="")
@click.argument("after", metavar="[B]", required=False, default="")
@JSON
@click.pass_obj
def diff(folder: Path, name: str, before: str, after: str, as_json: bool) -> None:
    """Show what changed in the prompt NAME from version A to version B, by the beginnings of their ids.

    Without B, against what the folder holds; without A, from the last version by people that a cycle tried.

    \b
    Examples:
      lifeloop prompts diff main
      lifeloop prompts diff main 3fa91c
      lifeloop prompts diff main 3fa91c 77b02e
    """
    from lifeloop.lifecycle.prompts import difference
    from lifeloop.project import open_project

    found = difference(open_project(folder), name, before, after)
    if as_json:
        render.as_json(found)
        return
    for line in (*found.system, *found.user):
        click.echo(_coloured(line))
    if found.system:
        click.echo(click.style(SYSTEM_NOTICE, fg="yellow"), err=True)
    if not found.system and not found.user:
        click.echo(f"{name}: no difference between {short(found.before)} and {short(found.after)}")


def _coloured(line: str) -> str:
    if line.startswith(("---", "+++")):
        return click.style(line, bold=True)
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=colour) if colour else line


@command.command("try", short_help="Ask with a version, by hand.")
@click.argument("name")
@click.option("--input", "text", default=None, help="A text to ask about.")
@click.option(
    "--examples", type=click.IntRange(1, 1000), default=None, help="How many validation examples; by default 5."
)
@click.option("--candidate", default="", help="Only this candidate; by default all that use the prompt.")
@click.option("--version", default="", help="A version, by the beginning of its id; by default the folder's.")
@JSON
@click.pass_obj
def try_(
    folder: Path, name: str, text: str | None, examples: int | None, candidate: str, version: str, as_json: bool
) -> None:
    """Show what candidates are sent with the prompt NAME, and what they answer: to a text, or to validation examples.

    Nothing of it counts as evidence: the gate's test examples cannot be asked here.

    \b
    Examples:
      lifeloop prompts try main --input "where is my parcel?"
      lifeloop prompts try main --examples 20 --candidate smollm
      lifeloop prompts try main --examples 20 --version 3fa91c --json
    """
    if text is not None and examples is not None:
        raise click.UsageError("give --input or --examples, not both")
    if text is not None and not text.strip():
        raise click.UsageError("--input is empty")
    from lifeloop.lifecycle.prompt_trying import try_prompt
    from lifeloop.project import open_project

    found = try_prompt(
        open_project(folder), name, text=text, n_examples=examples or 5, candidate=candidate, version=version,
        progress=_progress,
    )  # fmt: skip
    if as_json:
        render.as_json(found)
        return
    for attempt in found:
        _attempt(attempt)


def _progress(done: int, total: int, note: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{note} {done}/{total}" if total else f"\r\033[K{note}", err=True, nl=False)


def _attempt(attempt: "Attempt") -> None:
    click.echo(f"\n{attempt.candidate}, prompt {attempt.prompt} {short(attempt.version)}")
    for message in attempt.told[0].messages:
        click.echo(click.style(f"  {message.role}", bold=True))
        click.echo("\n".join(f"    {line}" for line in message.content.splitlines()))
    for told in attempt.told:
        said = told.answer.output or f"failed: {told.answer.error}"
        sure = f" ({told.answer.confidence:.2f})" if told.answer.confidence is not None else ""
        if told.right is None:
            click.echo(f"answers {said}{sure}, {told.seconds * 1000:.0f} ms")
            continue
        mark = click.style("✓", fg="green") if told.right else click.style("✗", fg="red")
        wanted = "" if told.right else f", should be {told.reference[:60]}"
        click.echo(f"  {mark} {told.input[:60]!r}: {said[:60]}{sure}{wanted}")
    if attempt.value is not None:
        n_right = sum(bool(told.right) for told in attempt.told)
        click.echo(
            f"{attempt.metric} {attempt.value:.4f} over {len(attempt.told)} validation examples, "
            f"{n_right} fully right; only a cycle's trials are evidence"
        )
