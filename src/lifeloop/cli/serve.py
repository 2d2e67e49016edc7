"""`lifeloop serve`: what is in production, behind an OpenAI-compatible API, until it is told to stop."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lifeloop.gateway.processes.fleet import Started


@click.command(short_help="Serve what is in production behind an OpenAI-compatible API.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that answer.")
@click.option("--open", "open_to_all", is_flag=True, help="Let anybody in who reaches an address that is not local.")
@click.option("--wait", is_flag=True, help="Start although nothing is in production yet; /readyz says when it is.")
@click.pass_obj
def command(folder: Path, host: str, port: int, workers: int, open_to_all: bool, wait: bool) -> None:
    """Serve what is in production behind an OpenAI-compatible API. A new release is taken over while serving.

    Stop it with Ctrl-C or SIGTERM: requests in flight are finished and every event is written. SIGHUP replaces the
    workers without refusing a request, so that they heed a changed [gateway] of the brief.

    \b
    Examples:
      lifeloop serve
      lifeloop serve --workers 4 --host 0.0.0.0      once `lifeloop keys create` has made a key
      curl -s localhost:8000/v1/tasks/tickets -d '{"text": "my card was eaten"}'
    """
    from lifeloop.gateway.processes.fleet import serve_project
    from lifeloop.project import open_project

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    project = open_project(folder)
    name = project.brief.project.name

    def announce(started: "Started") -> None:
        base, release = f"http://{started.host}:{started.port}", started.production
        what = f"{release.name} (release {release.id[:12]})" if release else "what will be in production"
        click.echo(f"serving {what}" + ("" if started.loaded else f", once it is loaded: see {base}/readyz"))
        click.echo(f"  {base}/v1               for any OpenAI client, model {name!r}")
        click.echo(f"  {base}/v1/tasks/{name}  text in, answer out")
        click.echo(f"  {base}/docs             what else it answers")

    serve_project(
        project,
        host,
        port,
        n_workers=workers,
        open_to_all=open_to_all,
        wait=wait,
        clock=time.time,
        announce=announce,
    )
