"""A gateway in a process of its own, for tests that end it: `python gateway_process.py FOLDER SECONDS`."""

import sys
from pathlib import Path

from gateway_scene import Says, Scene

from lifeloop.gateway.serve import serve
from lifeloop.store import ledger

ledger.BUSY_SECONDS = 1.0  # a locked database is to be met soon


def main(folder: Path, seconds: float) -> None:
    scene = Scene(folder)
    scene.candidate("first", Says("billing", seconds=seconds, concurrency=8))
    if scene.ledger.current_release() is None:
        scene.release("first")
    serve(scene.serving(), "127.0.0.1", 0, announce=lambda host, port: print(f"http://{host}:{port}", flush=True))
    print("ended", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
