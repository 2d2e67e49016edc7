"""A PostgreSQL server of the benchmark's own that can be stopped for a while and started again."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any


class Database:
    """A server in a temporary folder, on a socket there."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lifeloop-chaos-"))
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._user = {"user": pwd.getpwnam("postgres").pw_name}
            shutil.chown(self.folder, self._user["user"])
        made = [_program("initdb"), "-D", self._data, "-U", "lifeloop", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd=self.folder, **self._user)
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """The URL of the server's own database."""
        return f"postgresql+psycopg://lifeloop@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        asked = [_program("postgres"), "-D", self._data, "-k", str(self.folder), "-c", "listen_addresses="]
        self._server = subprocess.Popen(
            asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder, **self._user
        )
        ready = [_program("pg_isready"), "-h", str(self.folder), "-U", "lifeloop", "-q"]
        while subprocess.run(ready, check=False).returncode:
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server; connections end at once."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(30)
            self._server = None

    def remove(self) -> None:
        """Stop it for good."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")


def _program(name: str) -> str:
    if found := shutil.which(name):
        return found
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not places:
        raise SystemExit(f"{name} is not here: install PostgreSQL")
    return str(places[-1])
