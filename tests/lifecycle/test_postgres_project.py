"""A whole cycle on PostgreSQL, with the vault at a URL: nothing of the project's state is in its folder."""

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from small_project import brief, call, small_project

pytestmark = pytest.mark.slow

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
FLOOR = '[candidates.majority]\nkind = "majority"\n'


def _user() -> dict[str, str]:
    """Return for `subprocess` whom the server runs as: it refuses to run as root."""
    if os.geteuid():
        return {}
    try:
        return {"user": pwd.getpwnam("postgres").pw_name}
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")


@pytest.fixture
def server() -> Iterator[str]:
    pytest.importorskip("psycopg")
    initdb = shutil.which("initdb") or (str(PROGRAMS[-1]) if PROGRAMS else "")
    if not initdb:
        pytest.skip("PostgreSQL is not installed")
    user, folder = _user(), Path(tempfile.mkdtemp(prefix="lifeloop-pg-"))  # short, since a socket's path must be
    shutil.chown(folder, user.get("user", os.geteuid()))
    data = str(folder / "data")
    made = [initdb, "-D", data, "-U", "lifeloop", "-A", "trust", "-E", "UTF8", "--no-sync"]
    asked = [str(Path(initdb).with_name("postgres")), "-D", data, "-k", str(folder), "-c", "listen_addresses=", "-F"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
    process = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **user)
    try:
        url = f"postgresql://lifeloop@/postgres?host={folder}"
        _wait_for(url)
        yield url
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    import psycopg

    for _ in range(300):
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url).close()
            return
        time.sleep(0.1)
    raise TimeoutError("PostgreSQL did not start")


def test_a_cycle_and_all_that_is_asked_of_it(tmp_path, server, monkeypatch):
    monkeypatch.setenv("LIFELOOP_LEDGER", server)
    monkeypatch.setenv("LIFELOOP_VAULT", f"file://{tmp_path}/vault")
    folder = small_project(tmp_path / "news", brief(candidates=FLOOR, rest=""))

    ran = json.loads(call("-C", folder, "run", "--json").out)
    again = json.loads(call("-C", folder, "run", "--json").out)

    assert ran["fresh"] and not again["fresh"]
    assert again["verdict_id"] == ran["verdict_id"]
    standing = json.loads(call("-C", folder, "status", "--json").out)
    assert (standing["cycle"], standing["decision"]) == (1, ran["verdict"]["decision"])
    assert json.loads(call("-C", folder, "report", "--json").out)["verdict_id"] == ran["verdict_id"]
    (folder / "lifeloop.toml").write_text(brief(candidates=FLOOR, rest="[gate]\neffect = 0.1\n"))
    assert json.loads(call("-C", folder, "run", "--json").out)["cycle"] == 2
    assert not list((folder / ".lifeloop").glob("ledger*"))
    assert not (folder / ".lifeloop" / "vault").exists()
