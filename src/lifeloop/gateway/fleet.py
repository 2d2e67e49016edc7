"""All that runs for `lifeloop serve` beside its workers: the event log's shipping, models' processes, rollouts.

Takes an opened project, runs a supervisor until told to stop, then writes what the workers left in the log.
"""

import contextlib
import logging
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from lifeloop.core.errors import GatewayError, LifeloopError
from lifeloop.gateway.declared_keys import read_declared
from lifeloop.gateway.project_serving import EVENTS, canary_of
from lifeloop.gateway.protection import check_protection
from lifeloop.gateway.serve import listen
from lifeloop.gateway.supervisor import Supervisor
from lifeloop.gateway.worker_process import Setup
from lifeloop.hosting.hosts import Hosts
from lifeloop.lifecycle.rollouts import advance
from lifeloop.project import Project
from lifeloop.store.ledger import Ledger
from lifeloop.store.shipping import Shipper

log = logging.getLogger(__name__)

ADVANCE_SECONDS = 1.0
"""How often the figures of a running rollout are looked at."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve_project(
    project: Project,
    host: str,
    port: int,
    *,
    n_workers: int,
    open_to_all: bool,
    clock: Callable[[], float],
    announce: Callable[[str, int], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight and write every event.

    Raises GatewayError where the address cannot be had, or where it can be reached from elsewhere and no key is asked
    for; BriefError where the brief's protection names what is not there.
    """
    check_protection(project.brief.gateway.protection)
    declared = read_declared()
    with contextlib.closing(project.open_ledger()) as ledger:
        if host not in LOOPBACK and not (open_to_all or declared or ledger.key_rows()):
            raise GatewayError(
                "others could reach this address, and no key is asked for",
                where=f"--host {host}",
                fix="`lifeloop keys create NAME` first, or say --open if something before the gateway asks for keys",
            )
        listener = listen(host, port)
        with contextlib.closing(listener), _beside(project, ledger, clock) as control:
            setup = msgspec.json.encode(Setup(folder=str(project.folder), control=str(control))).decode()
            supervisor = Supervisor(
                listener,
                [sys.executable, "-m", "lifeloop.gateway.worker_process", setup],
                n_workers,
                drain_seconds=project.brief.gateway.load.drain_seconds,
            )
            supervisor.run(lambda: announce(host, listener.getsockname()[1]))


@contextlib.contextmanager
def _beside(project: Project, ledger: Ledger, clock: Callable[[], float]) -> Iterator[Path]:
    """Run what stands beside the workers; give the socket at which they ask for models."""
    folder = project.state / EVENTS
    folder.mkdir(parents=True, exist_ok=True)
    shipper = Shipper(ledger, folder)
    # A socket's path may have a hundred characters at most, and a project's folder may have more.
    with tempfile.TemporaryDirectory(prefix="lifeloop-") as place:
        control = Path(place) / "models"
        hosts = Hosts(
            control, project.vault_url, project.state / "cache", project.brief.gateway.hosting, canary_of(project)
        )
        stop = threading.Event()
        thread = threading.Thread(target=_advance, args=(project, ledger, clock, stop), name="rollouts", daemon=True)
        shipper.start()
        hosts.start()
        thread.start()
        try:
            yield control
        finally:
            stop.set()
            hosts.stop()
            thread.join(ADVANCE_SECONDS + 10.0)
            shipper.close(project.brief.gateway.load.drain_seconds)


def _advance(project: Project, ledger: Ledger, clock: Callable[[], float], stop: threading.Event) -> None:
    """Look at the running rollout now and then; several gateways may do so at once, since only one of them wins."""
    vault, told = project.open_vault(), ""
    while not stop.wait(ADVANCE_SECONDS):
        try:
            row = advance(ledger, vault, clock)
            told = ""
            if row is not None:
                log.warning("rollout of release %s: %s, %s", row.release[:12], row.phase, row.reason)
        except LifeloopError as error:
            if str(error) != told:
                log.warning("the rollout waits: %s", error)
            told = str(error)
        except Exception:
            log.exception("looking at the rollout failed; trying again")
