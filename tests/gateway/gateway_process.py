"""A gateway in a process of its own, for tests that end it: `python gateway_process.py FOLDER SECONDS [PIECES]`.

Its model answers after SECONDS; with PIECES it streams so many, with SECONDS before each.
"""

import sys
from pathlib import Path

from gateway_scene import Says, Scene, Streams

from lifeloop.gateway.processes.serve import serve
from lifeloop.gateway.production import members
from lifeloop.store import database

database.BUSY_SECONDS = 1.0  # a locked database is to be met soon
members.STOP_SECONDS = 0.5  # and a model that does not end soon left


def main(folder: Path, seconds: float, pieces: int = 0) -> None:
    scene = Scene(folder, "chat" if pieces else "classify")
    if pieces:
        model = Streams([f"{place} " for place in range(pieces)], seconds=seconds)
        model.concurrency = 8
    else:
        model = Says("billing", seconds=seconds, concurrency=8)
    scene.candidate("first", model)
    if scene.ledger.current_release() is None:
        scene.release("first")
    serve(scene.serving(), "127.0.0.1", 0, announce=lambda host, port: print(f"http://{host}:{port}", flush=True))
    print("ended", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), *map(int, sys.argv[3:]))
