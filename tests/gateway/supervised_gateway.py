"""A supervisor with workers, for tests that kill it: `python supervised_gateway.py FOLDER N SECONDS`."""

import sys
from pathlib import Path

from gateway_scene import Says, Scene

from lifeloop.core.errors import BriefError
from lifeloop.gateway.processes.serve import listen
from lifeloop.gateway.processes.supervisor import Command, Supervisor

HERE = Path(__file__).parent


def main(folder: Path, n_workers: int, seconds: float) -> None:
    scene = Scene(folder)
    scene.candidate("first", Says("billing"))
    if scene.ledger.current_release() is None:
        scene.release("first")
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    words = (sys.executable, str(HERE / "supervised_worker.py"), str(folder), str(seconds))

    def command() -> Command:
        if (folder / "no-command").exists():
            raise BriefError("the brief cannot be read", where="lifeloop.toml", fix="mend it")
        return Command(words, drain_seconds=10.0)

    supervisor = Supervisor(listener, command, n_workers)
    supervisor.run(lambda loaded: print(url, flush=True))
    print("ended", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
