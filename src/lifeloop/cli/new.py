"""`lifeloop new`: scaffolds a project from a look at the data."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lifeloop.core.brief import Data
    from lifeloop.scaffold import Guess

TASKS = ("classify", "extract", "generate", "chat")
SAMPLE = 100_000
"""Rows looked at: enough to see rare labels, and quick."""


@click.command(short_help="Scaffold a project: a brief with comments that teach, and prompts.")
@click.argument("name")
@click.option("--task", type=click.Choice(TASKS), required=True, help="What the use case does.")
@click.option(
    "--data",
    multiple=True,
    metavar="SOURCE",
    help="A file, a folder, a pattern, the URL of a database or hub:NAME; columns are guessed. May be repeated.",
)
@click.option("--query", default="", help="For a database: the SELECT that gives the rows.")
@click.option("--subset", default="", help="For a hub set: its configuration, where it has several.")
@click.option("--format", default="auto", show_default=True, help="The data's format, where the ending does not say.")
@click.option("--encoding", default="utf-8", show_default=True, help="The data's encoding.")
@click.pass_obj
def command(
    folder: Path, name: str, task: str, data: tuple[str, ...], query: str, subset: str, format: str, encoding: str
) -> None:
    """Scaffold a project in the folder NAME: a brief with comments that teach, and prompts.

    With --data, the columns, the sizes of the splits and the objectives are proposed from a look at the data. The data
    stays where it is.

    \b
    Examples:
      lifeloop new tickets --task classify --data tickets.csv
      lifeloop new names --task extract --data train.conll
      lifeloop new helpdesk --task chat --data 'logs/**/*.jsonl' --data older.jsonl.gz
      lifeloop new orders --task classify --data env:ORDERS_URL --query "SELECT text, label FROM orders"
      lifeloop new intents --task classify --data hub:clinc/clinc_oos --subset plus
    """
    import msgspec

    from lifeloop import scaffold
    from lifeloop.core.brief import Data, parse_brief
    from lifeloop.core.errors import BriefError

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
    asked = Data(source=data or "data.csv", format=format, query=query, subset=subset, encoding=encoding)
    sources = _from_project(data, place) or ("data.csv",)
    rows, asked = _look(asked, task) if data else ([], asked)
    found = scaffold.guess(rows, task)
    text = scaffold.brief(name, task, msgspec.structs.replace(asked, source=sources), found)
    _check_characters(text, data)
    parse_brief(text)  # a scaffold that does not parse is our fault, and must not reach anybody
    files = {"lifeloop.toml": text, ".gitignore": ".lifeloop/\n", **scaffold.prompts(task)}
    for path, content in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(content, encoding="utf-8")
    _say(place, found, data)


def _look(data: "Data", task: str) -> "tuple[list[dict[str, str]], Data]":
    """Return the first rows of all sources, and the data section with the format that a look at them shows."""
    import msgspec

    from lifeloop import scaffold
    from lifeloop.sources.chat_logs import detect
    from lifeloop.sources.places import places, source_of
    from lifeloop.sources.source import Reading

    rows: list[dict[str, str]] = []
    found = list(places(Reading(data, Path(), task)))
    for place in found:
        if len(rows) >= SAMPLE:
            break
        rows += source_of(place).sample(place.place, Reading(data, Path(), task), SAMPLE - len(rows))
    columns = max(rows, key=len, default={})
    log = detect(columns) if data.format == "auto" and {place.format for place in found} == {"jsonl"} else ""
    if log in ("messages", "sharegpt") and any(column.lower() in scaffold.REFERENCE_NAMES for column in columns):
        log = ""  # what should come out stands beside the conversation, not in it
    return _look(msgspec.structs.replace(data, format=log), task) if log else (rows, data)


def _from_project(sources: Sequence[str], place: Path) -> tuple[str, ...]:
    """Return the sources with paths as the project's folder sees them.

    Raises BriefError for a URL with a password, which must not be written into a file that is under version control.
    """
    return tuple(_source(text, place.resolve()) for text in sources)


def _source(text: str, place: Path) -> str:
    from lifeloop.core.errors import BriefError
    from lifeloop.sources.places import is_path

    scheme, mark, rest = text.partition(":///")
    if scheme.startswith("sqlite") and mark and rest and not rest.startswith(("/", ":memory:", "file:")):
        return f"{scheme}:///{os.path.relpath(os.path.realpath(rest), place)}"
    if re.match(r"[^/]+://[^/@]*:[^/@]+@", text):
        fix = "export DATA_URL=… and say --data env:DATA_URL: the brief is for everyone who reads the project"
        raise BriefError("the URL has a password in it", where="--data", fix=fix)
    return os.path.relpath(os.path.realpath(text), place) if is_path(text) else text


def _check_encoding(encoding: str) -> None:
    from lifeloop.core.errors import BriefError

    try:
        b"a".decode(encoding, "ignore")
    except (LookupError, UnicodeError):
        raise BriefError(
            f"there is no encoding {encoding!r}", where="--encoding", fix='write "utf-8" or "cp1252", say'
        ) from None


def _check_characters(text: str, data: Sequence[str]) -> None:
    """Raise DataError where a name from the data cannot be written: bytes that are not valid come as surrogates."""
    from lifeloop.core.errors import DataError

    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(
            "the file's name or a column's is not valid text",
            where=", ".join(map(ascii, data)),
            fix="name the data's encoding with --encoding, or rename it",
        ) from None


def _say(place: Path, found: "Guess", data: Sequence[str]) -> None:
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
    click.echo(
        f"next: read {place}/lifeloop.toml, then\n  cd {place}\n  lifeloop data build\n  lifeloop plan\n  lifeloop run"
    )
