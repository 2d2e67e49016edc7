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
from msgspec import Struct

from lifeloop.core.errors import GateError, GatewayError, LifeloopError, StoreError
from lifeloop.gateway.processes.project_serving import EVENTS, canary_of, setup_of
from lifeloop.gateway.processes.serve import listen
from lifeloop.gateway.processes.supervisor import LOADING_SECONDS, Command, Supervisor
from lifeloop.gateway.production.remembered import recall
from lifeloop.gateway.protection.declared_keys import read_declared
from lifeloop.gateway.protection.keys import recalled
from lifeloop.gateway.protection.redaction import redactor
from lifeloop.gateway.running import KEYS, TRAFFIC
from lifeloop.hosting.hosts import Hosts
from lifeloop.lifecycle.rollouts import Steward
from lifeloop.project import Project, open_project
from lifeloop.store.ledger import Ledger, attach_ledger
from lifeloop.store.rows import ReleaseRow
from lifeloop.store.shipping import Shipper

log = logging.getLogger(__name__)

ADVANCE_SECONDS = 1.0
"""How often the figures of a running rollout are looked at."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Started(Struct, frozen=True):
    """What there is to say when requests are taken."""

    host: str
    port: int
    production: ReleaseRow | None
    loaded: bool
    """Whether they are answered already, or models are still being loaded."""


def serve_project(
    project: Project,
    host: str,
    port: int,
    *,
    n_workers: int,
    open_to_all: bool,
    wait: bool,
    clock: Callable[[], float],
    announce: Callable[[Started], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight and write every event.

    `wait`: also while nothing is in production yet. `announce` is called once requests are taken. Raises GateError
    where nothing is in production, GatewayError where the address cannot be had, or where it can be reached from
    elsewhere and no key is asked for, BriefError where the brief's protection names what is not there, StoreError where
    the ledger is away and nothing is known of before.
    """
    ledger, known = _ledger_of(project)
    with contextlib.closing(ledger):
        if known.production is None and not wait:
            raise GateError(
                "nothing is in production",
                where=str(project.folder),
                fix="`lifeloop run` first: only a verdict that promotes puts a candidate there; or --wait for one",
            )
        if host not in LOOPBACK and not (open_to_all or known.has_keys):
            raise GatewayError(
                "others could reach this address, and no key is asked for",
                where=f"--host {host}",
                fix="`lifeloop keys create NAME` first, or say --open if something before the gateway asks for keys",
            )
        listener = listen(host, port)
        with contextlib.closing(listener), _beside(project, ledger, clock) as control:
            supervisor = Supervisor(listener, lambda: _command(project.folder, control), n_workers)
            supervisor.run(
                lambda loaded: announce(Started(host, listener.getsockname()[1], known.production, loaded)),
                patience_seconds=LOADING_SECONDS if known.production else 0.0,
            )


def _command(folder: Path, control: Path) -> Command:
    """Return how workers are started by the brief as it is now. Raises BriefError where that cannot be used."""
    project = open_project(folder)
    protection = project.brief.gateway.protection
    redactor(protection.redact, protection.regions)  # what a kind needs and is not installed is missed here
    setup = msgspec.json.encode(setup_of(project, control)).decode()
    words = (sys.executable, "-m", "lifeloop.gateway.processes.worker_process", setup)
    return Command(words, project.brief.gateway.load.drain_seconds)


class _Known(Struct, frozen=True):
    """What is known when a gateway starts."""

    production: ReleaseRow | None
    has_keys: bool


def _ledger_of(project: Project) -> tuple[Ledger, _Known]:
    """Return the ledger and what it says, or what it said last where it is away now. Raises StoreError."""
    try:
        ledger = project.open_ledger()
        return ledger, _Known(ledger.current_release(), read_declared() is not None or bool(ledger.key_rows()))
    except StoreError as error:
        folder = project.state / EVENTS
        traffic = recall(folder.with_name(folder.name + TRAFFIC))
        if traffic is None:
            raise
        log.warning("the ledger is away, what was in production last is served: %s", error)
        has_keys = read_declared() is not None or bool(recalled(folder.with_name(folder.name + KEYS)))
        return attach_ledger(project.ledger_url), _Known(traffic.production, has_keys)


@contextlib.contextmanager
def _beside(project: Project, ledger: Ledger, clock: Callable[[], float]) -> Iterator[Path]:
    """Run what stands beside the workers; give the socket at which they ask for models."""
    folder = project.state / EVENTS
    folder.mkdir(parents=True, exist_ok=True)
    shipper = Shipper(ledger, folder)
    # A socket's path may have a hundred characters at most, and a project's folder may have more.
    with tempfile.TemporaryDirectory(prefix="lifeloop-") as place:
        control = Path(place) / "models"
        settings = project.brief.gateway
        canary = canary_of(project.state, settings)
        hosts = Hosts(control, project.vault_url, project.state / "cache", settings.hosting, canary)
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
    steward, told = Steward(ledger, project.open_vault(), clock), ""
    while not stop.wait(ADVANCE_SECONDS):
        try:
            row = steward.look()
            told = ""
            if row is not None:
                log.warning("rollout of release %s: %s, %s", row.release[:12], row.phase, row.reason)
        except LifeloopError as error:
            if str(error) != told:
                log.warning("the rollout waits: %s", error)
            told = str(error)
        except Exception:
            log.exception("looking at the rollout failed; trying again")
