"""A worker as a supervisor starts it, before a scene: `python supervised_worker.py FOLDER SECONDS PLACE`."""

import sys
import time
from pathlib import Path

import msgspec
from gateway_scene import Says, Scene

from lifeloop.gateway.processes.worker_process import run_worker


def main(folder: Path, seconds: float, place: str) -> None:
    scene = Scene(folder)
    hanging = (folder / "hang").exists()

    def make() -> Says:
        if hanging:
            time.sleep(3600)
        return Says("billing", seconds=seconds, concurrency=8)

    scene.candidate("first", make)
    run_worker(msgspec.structs.replace(scene.serving(), writer=f"worker-{place}", ship=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
