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


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """Yield the URL of a server's own database; skip the test where there can be none."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: pip install 'lifeloop[postgres]'")
    if url := os.environ.get("LIFELOOP_TEST_POSTGRES"):
        yield url
        return
    if not shutil.which("postgres") or not shutil.which("initdb"):
        pytest.skip("no PostgreSQL here: install it, or set LIFELOOP_TEST_POSTGRES to the URL of a server")
    user = other_user()
    folder = Path(tempfile.mkdtemp(prefix="lifeloop-pg-"))  # short: a socket's path has to be
    if user:
        shutil.chown(folder, user["user"])
    server = None
    try:
        data = folder / "data"
        made = ["initdb", "-D", str(data), "-U", "lifeloop", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
        asked = ["postgres", "-D", str(data), "-k", str(folder), "-c", "listen_addresses=", "-F"]
        server = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **user)
        url = f"postgresql://lifeloop@/postgres?host={folder}"
        _wait_for(url)
        yield url
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)  # at once: nothing in it is to be kept
            server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise TimeoutError("PostgreSQL did not start within 30 s")
