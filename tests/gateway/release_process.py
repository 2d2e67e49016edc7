"""One worker of a project's gateway, on a port of its own: `python release_process.py FOLDER PLACE`."""

import sys
from pathlib import Path

import msgspec

from lifeloop.gateway.processes.project_serving import serving_of, setup_of
from lifeloop.gateway.processes.serve import serve
from lifeloop.project import open_project


def main(folder: Path, place: int) -> None:
    serving = msgspec.structs.replace(serving_of(setup_of(open_project(folder)), place), ship=True)
    serve(serving, "127.0.0.1", 0, announce=lambda host, port: print(f"http://{host}:{port}", flush=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
