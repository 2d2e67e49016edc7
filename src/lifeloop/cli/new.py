"""`lifeloop new`: scaffolds a project from a look at the data."""

import os
import re
from pathlib import Path

import click

TASKS = ("classify", "extract", "generate", "chat")
SAMPLE = 100_000
"""Rows looked at: enough to see rare labels, and quick."""


@click.command(short_help="Scaffold a project: a brief with comments that teach, and prompts.")
@click.argument("name")
@click.option("--task", type=click.Choice(TASKS), required=True, help="What the use case does.")
@click.option("--data", type=click.Path(path_type=Path), help="A file or folder of examples; columns are guessed.")
@click.option("--encoding", default="utf-8", show_default=True, help="The data's encoding.")
@click.pass_obj
def command(folder: Path, name: str, task: str, data: Path | None, encoding: str) -> None:
    """Scaffold a project in the folder NAME: a brief with comments that teach, and prompts.

    With --data, the columns, the sizes of the splits and the objectives are proposed from a look at the data. The data
    stays where it is.

    \b
    Examples:
      lifeloop new tickets --task classify --data tickets.csv
      lifeloop new names --task extract --data train.conll
      lifeloop new helpdesk --task chat --data conversations.jsonl
    """
    from lifeloop import scaffold
    from lifeloop.core.brief import parse_brief
    from lifeloop.core.errors import BriefError
    from lifeloop.sources.source import source_for

    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", name):
        raise BriefError(
            "not a valid name",
            where=name,
            fix="use lower-case letters, digits, '-', '_' and '.'; it names the endpoint too",
        )
    place = folder / name
    if (place / "lifeloop.toml").exists():
        raise BriefError("there is a project here already", where=str(place), fix="choose another name, or edit it")
    _check_encoding(encoding)
    rows = source_for(data).sample(data, encoding, SAMPLE) if data else []
    found = scaffold.guess(rows, task)
    source = os.path.relpath(data.resolve(), place.resolve()) if data else "data.csv"
    text = scaffold.brief(name, task, source, found)
    if encoding != "utf-8":
        text = text.replace("[data]\n", f'[data]\nencoding = "{encoding}"\n')
    _check_characters(text, data)
    parse_brief(text)  # a scaffold that does not parse is our fault, and must not reach anybody
    files = {"lifeloop.toml": text, ".gitignore": ".lifeloop/\n", **scaffold.prompts(task)}
    for path, content in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(content, encoding="utf-8")
    _say(place, found, data)


def _check_encoding(encoding: str) -> None:
    from lifeloop.core.errors import BriefError

    try:
        b"a".decode(encoding, "ignore")
    except (LookupError, UnicodeError):
        raise BriefError(
            f"there is no encoding {encoding!r}", where="--encoding", fix='write "utf-8" or "cp1252", say'
        ) from None


def _check_characters(text: str, data: Path | None) -> None:
    """Raise DataError where a name from the data cannot be written: bytes that are not valid come as surrogates."""
    from lifeloop.core.errors import DataError

    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(
            "the file's name or a column's is not valid text",
            where=repr(str(data)),
            fix="name the data's encoding with --encoding, or rename it",
        ) from None


def _say(place: Path, found: object, data: Path | None) -> None:
    from lifeloop.scaffold import Guess

    assert isinstance(found, Guess)
    click.echo(f"made {place}/lifeloop.toml and {place}/prompts/main/")
    if data:
        more = "" if found.n_rows < SAMPLE else " or more"
        click.echo(f"  {found.n_rows} rows{more}; in: {found.input!r}, out: {found.reference!r}")
        if found.labels:
            click.echo(f"  {len(found.labels)} labels, the commonest {found.majority:.0%} of the rows")
        for what in ("id", "group", "split", "out_of_scope"):
            if value := getattr(found, what):
                click.echo(f"  {what.replace('_', ' ')}: {value!r}")
    else:
        click.echo("  put your data where data.source says, or change it")
    click.echo(f"next: read {place}/lifeloop.toml, then\n  cd {place}\n  lifeloop plan\n  lifeloop run")
