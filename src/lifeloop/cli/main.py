"""The `lifeloop` command. Subcommands are imported when they are called, so that help and status answer at once."""

import importlib
import sys
from pathlib import Path

import click

from lifeloop import __version__
from lifeloop.core.errors import LifeloopError

COMMANDS = {
    "new": "Scaffold a project: a brief with comments that teach, and prompts.",
    "plan": "Estimate memory, time and money, and whether the data can settle the objectives.",
    "run": "Run the next cycle, or finish the last one.",
    "status": "Say what is in production and where the loop stands.",
    "why": "Walk from production back to the brief.",
    "compare": "Test two candidates on the same examples.",
    "training": "Show how candidates were trained: curves, checks, search.",
    "release": "Begin the release of a verdict, or list what became of releases.",
    "rollback": "Take back the running rollout, or what is in production.",
    "override": "Promote against the gate, with a name and a reason that stay on record.",
    "audit": "Check that no verdict was changed, and that its evidence is there.",
    "data": "Versions of the data: card, differences, rows, export, selection.",
    "prompts": "Versions of prompts, what changed, and how they answer.",
    "report": "Write the report of a cycle again.",
    "keys": "API keys: create, list, rotate, limit, revoke.",
    "serve": "Serve what is in production behind an OpenAI-compatible API.",
}


class Commands(click.Group):
    """Loads `lifeloop.cli.NAME` when NAME is called; its `command` is the click command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lifeloop.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):  # from the table above: nothing is imported for help
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lifeloop")
@click.option(
    "-C",
    "--project",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The project's folder; by default this one.",
)
@click.pass_context
def lifeloop(ctx: click.Context, folder: Path) -> None:
    """From a written brief to a monitored model in production, and round again.

    \b
    A first project:
      lifeloop new tickets --task classify --data tickets.csv
      cd tickets
      lifeloop plan        what it will take, before anything is spent
      lifeloop run         one cycle: data, candidates, evidence, verdict
      lifeloop serve       what won, behind an OpenAI-compatible API

    Ledger and vault are in .lifeloop/ unless LIFELOOP_LEDGER (a SQLAlchemy URL) and LIFELOOP_VAULT (an fsspec URL)
    say otherwise.
    """
    ctx.obj = folder


def main() -> None:
    """Run the command. Errors that people can mend are printed as they are; exit code 2 for wrong use, 1 otherwise."""
    try:
        lifeloop(prog_name="lifeloop", standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nStopped. What was finished is kept; the same command goes on from there.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except LifeloopError as error:
        click.echo(f"{click.style('error', fg='red')}  {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"{click.style('error', fg='red')}  {_system(error)}", err=True)
        sys.exit(1)


def _system(error: OSError) -> str:
    import errno

    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}the disk is full\n  → free some space and run again: finished work is kept"
    return f"{where}{error.strerror or error}\n  → check the path and its permissions"
