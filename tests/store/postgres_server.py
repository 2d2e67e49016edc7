"""A private PostgreSQL server for tests: in a folder of its own, on a socket, ended with the tests."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest


def other_user() -> dict[str, str]:
    """Return for `subprocess` the user that the server runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return {"user": pwd.getpwnam(name).pw_name}
    pytest.skip("PostgreSQL does not run as root, and there is no other user")


class Server:
    """A server in a folder: started, stopped and started again."""

    def __init__(self, folder: Path, user: dict[str, str]) -> None:
        self.folder = folder
        self.url = f"postgresql://lifeloop@/postgres?host={folder}"
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        made = ["initdb", "-D", str(folder / "data"), "-U", "lifeloop", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)

    def start(self) -> None:
        asked = ["postgres", "-D", str(self.folder / "data"), "-k", str(self.folder), "-c", "listen_addresses=", "-F"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(asked, stdout=quiet, stderr=quiet, cwd=self.folder, **self._user)
        _wait_for(self.url)

    def stop(self) -> None:
        """End it at once, with all connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None


@contextlib.contextmanager
def own_server() -> Iterator[Server]:
    """Yield a started server of the test's own, to be stopped and started; skip the test where there can be none."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: pip install 'lifeloop[postgres]'")
    if not shutil.which("postgres") or not shutil.which("initdb"):
        pytest.skip("no PostgreSQL here: install it, or set LIFELOOP_TEST_POSTGRES to the URL of a server")
    user = other_user()
    folder = Path(tempfile.mkdtemp(prefix="lifeloop-pg-"))  # short: a socket's path has to be
    if user:
        shutil.chown(folder, user["user"])
    server = None
    try:
        server = Server(folder, user)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """Yield the URL of a server's own database; skip the test where there can be none."""
    if url := os.environ.get("LIFELOOP_TEST_POSTGRES"):
        yield url
        return
    with own_server() as server:
        yield server.url


def _wait_for(url: str) -> None:
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise TimeoutError("PostgreSQL did not start within 30 s")


def new_schema(server: str) -> str:
    """Return the URL of an empty schema: as good as a database, and hundreds of files cheaper."""
    import psycopg
    from sqlalchemy.engine import make_url

    name = f"lifeloop_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    url = make_url(server).update_query_dict({"options": f"-csearch_path={name}"})
    return url.render_as_string(hide_password=False)
