"""A project with a release in production: a remote model, another remote one and a majority in its stead."""

import json
import time
from pathlib import Path

import msgspec

from lifeloop.core.candidates import Candidate
from lifeloop.core.evidence import Release
from lifeloop.models.remote import Settings
from lifeloop.place import vault_url
from lifeloop.store.ledger import Ledger
from lifeloop.store.vault import Vault

LABELS = ("billing", "other", "shipping")
BRIEF = """
[project]
name = "desk"
task = "classify"

[data]
source = "tickets.csv"

[[objectives]]
metric = "accuracy"
target = 0.5

[candidates.first]
kind = "remote"
url = "http://127.0.0.1:{first}/v1"
model = "stub"

[candidates.second]
kind = "remote"
url = "http://127.0.0.1:{second}/v1"
model = "stub"

[candidates.majority]
kind = "majority"

[release]
fallback = ["second", "majority"]
timeout_seconds = 1.0

[gateway.continuity]
breaker_seconds = 1.0
"""


def make_project(folder: Path, ledger: Ledger, first: int, second: int) -> None:
    """Write the brief, and put the release of two endpoints, by port, and a majority into the ledger and vault."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lifeloop.toml").write_text(BRIEF.format(first=first, second=second))
    (folder / "tickets.csv").write_text("text,label\n" + "".join(f"a {label} question,{label}\n" for label in LABELS))
    vault = Vault(vault_url(folder), cache=folder / ".lifeloop" / "cache")
    made = folder / "made"
    made.mkdir()
    (made / "majority.json").write_text(json.dumps(["billing", 0.4]))
    remote = {
        name: Candidate(
            name,
            "remote",
            "classify",
            LABELS,
            msgspec.to_builtins(Settings(url=f"http://127.0.0.1:{port}/v1", model="stub")),
        )
        for name, port in (("first", first), ("second", second))
    }
    majority = Candidate("majority", "majority", "classify", LABELS, {}, files=vault.put_folder(made))
    ids = {name: vault.put_value(candidate) for name, candidate in (remote | {"majority": majority}).items()}
    release = Release(1, "v", ids["first"], "first", (ids["second"], ids["majority"]), timeout_seconds=1.0)
    identifier = vault.put_value(release)
    ledger.add_release(id=identifier, verdict="v", candidate=ids["first"], name="first", at=time.time())
