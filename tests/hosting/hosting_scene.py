"""A vault, a keeper of real processes, and a model kind that only they know, installed beside the test."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id
from lifeloop.core.gateway_brief import Hosting
from lifeloop.hosting.hosts import Hosts, HostState
from lifeloop.store.vault import Vault

PLAIN = Hosting()


class HostingScene:
    """A vault with candidates, and one keeper for them."""

    def __init__(self, folder: Path, settings: Hosting) -> None:
        self.vault = Vault(str(folder / "vault"), cache=folder / "cache")
        self.control = folder / "control"
        self.hosts = Hosts(self.control, self.vault.url, folder / "cache", settings)

    def odd(self, **settings: Any) -> Id:
        return self.vault.put_value(Candidate("odd", "odd", "generate", (), settings))

    def state(self, candidate: Id) -> HostState | None:
        return next((state for state in self.hosts.states() if state.candidate == candidate), None)

    def pid(self, candidate: Id) -> int:
        """Return the process that holds a candidate, once there is one that is ready."""
        wait_for(lambda: (state := self.state(candidate)) is not None and state.ready)
        return self.state(candidate).pid


@contextlib.contextmanager
def hosting(settings: Hosting = PLAIN) -> Iterator[HostingScene]:
    """Run a keeper until the block ends, and see that nothing is left of it."""
    with tempfile.TemporaryDirectory(prefix="ll-") as place, odd_kinds(Path(place)):
        scene = HostingScene(Path(place), settings)
        scene.hosts.start()
        pids: set[int] = set()
        try:
            yield scene
            pids = {state.pid for state in scene.hosts.states()} - {0}
        finally:
            scene.hosts.stop()
        assert not [pid for pid in pids if alive(pid)]


@contextlib.contextmanager
def odd_kinds(folder: Path) -> Iterator[None]:
    """Install the kind "odd" for processes that are started in the block, and for no other."""
    place = folder / "packages"
    metadata = place / "odd_kinds-1.0.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("odd_kinds.py"), place)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-kinds\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[lifeloop.models]\nodd = odd_kinds:KIND\n")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{place}{os.pathsep}{before}" if before else str(place)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def alive(pid: int) -> bool:
    """Return whether a process runs; one that ended and waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(true: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Return what a condition gives as soon as it is true. Fails after a while."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)
    return found
