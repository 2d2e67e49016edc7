"""One worker of `lifeloop serve`, as its supervisor starts it: this module with SETUP and PLACE as arguments.

Inherits the listener, tells through a pipe that it takes requests and that it lives, and stops in order when its
supervisor is gone. SETUP is the JSON of a `Setup`.
"""

import ctypes
import logging
import os
import signal
import socket
import sys

import msgspec

from lifeloop.gateway.processes.project_serving import Setup, serving_of
from lifeloop.gateway.processes.serve import make_server
from lifeloop.gateway.processes.supervisor import ALIVE, LISTENER, LOADED, PIPE, SERVING, WAIT
from lifeloop.gateway.serving import Serving

PR_SET_PDEATHSIG = 1
LINGER_SECONDS = 1.0
"""How long clients that keep their connections may still ask on them once the worker is to stop."""


def main() -> None:
    """Serve a project until told to stop."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    serving = serving_of(msgspec.json.decode(sys.argv[1], type=Setup), int(sys.argv[2]))
    try:
        run_worker(serving)
    finally:
        serving.ledger.close()


def run_worker(serving: Serving) -> None:
    """Serve on the inherited listener until SIGTERM, or until the supervisor is gone."""
    _die_with_the_supervisor()
    pipe = int(os.environ[PIPE])
    os.set_blocking(pipe, False)
    drain_seconds = serving.settings.load.drain_seconds
    server = make_server(
        serving,
        drain_seconds=drain_seconds,
        wait_for_models=bool(os.environ.get(WAIT)),
        linger_seconds=LINGER_SECONDS,
    )
    server.announce = lambda: _tell(pipe, SERVING)
    server.on_loaded = lambda: _tell(pipe, LOADED)
    server.alive = lambda: _tell(pipe, ALIVE)
    server.run(sockets=[socket.socket(fileno=int(os.environ[LISTENER]))])


def _tell(pipe: int, what: bytes) -> None:
    try:
        os.write(pipe, what)
    except BlockingIOError:
        pass  # the supervisor is busy; it hears the next one
    except BrokenPipeError:
        os.kill(os.getpid(), signal.SIGTERM)  # it is gone: finish what is under way, take nothing new


def _die_with_the_supervisor() -> None:
    """Have the kernel send SIGTERM when the supervisor dies, however it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(os.environ.get("LIFELOOP_SUPERVISOR", os.getppid())):
        os.kill(os.getpid(), signal.SIGTERM)  # it died before we asked for that


if __name__ == "__main__":
    main()
