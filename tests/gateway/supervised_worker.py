"""A worker as a supervisor starts it, before a scene: `python supervised_worker.py FOLDER SECONDS PLACE`."""

import sys
from pathlib import Path

import msgspec
from gateway_scene import Says, Scene

from lifeloop.gateway.worker_process import run_worker


def main(folder: Path, seconds: float, place: str) -> None:
    scene = Scene(folder)
    scene.candidate("first", Says("billing", seconds=seconds, concurrency=8))
    run_worker(msgspec.structs.replace(scene.serving(), writer=f"worker-{place}", ship=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
