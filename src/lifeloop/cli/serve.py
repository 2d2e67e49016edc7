"""`lifeloop serve`: what is in production, behind an OpenAI-compatible API, until it is told to stop."""

import logging
from pathlib import Path

import click


@click.command(short_help="Serve what is in production behind an OpenAI-compatible API.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.pass_obj
def command(folder: Path, host: str, port: int) -> None:
    """Serve what is in production behind an OpenAI-compatible API. A new release is taken over while serving.

    Stop it with Ctrl-C or SIGTERM: requests in flight are finished and every event is written.

    \b
    Examples:
      lifeloop serve
      curl -s localhost:8000/v1/tasks/tickets -d '{"text": "my card was eaten"}'
    """
    from lifeloop import plugins
    from lifeloop.core.errors import GateError
    from lifeloop.gateway.serve import serve
    from lifeloop.gateway.serving import Serving
    from lifeloop.project import open_project

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    project = open_project(folder)
    ledger = project.open_ledger()
    release = ledger.current_release()
    if release is None:
        ledger.close()
        raise GateError(
            "nothing is in production",
            where=str(project.folder),
            fix="`lifeloop run` first: only a verdict that promotes puts a candidate there",
        )
    name = project.brief.project.name

    def announce(host: str, port: int) -> None:
        base = f"http://{host}:{port}"
        click.echo(f"serving {release.name} (release {release.id[:12]})")
        click.echo(f"  {base}/v1               for any OpenAI client, model {name!r}")
        click.echo(f"  {base}/v1/tasks/{name}  text in, answer out")

    serving = Serving(
        project=name,
        task=plugins.get("tasks", project.brief.project.task),
        ledger=ledger,
        vault=project.open_vault(),
        spill=project.state / "spill.jsonl",
    )
    try:
        serve(serving, host, port, announce=announce)
    finally:
        ledger.close()
