from pathlib import Path

import msgspec
import pytest

from lifeloop.core.candidates import Candidate, Prompt
from lifeloop.models.answering_id import answering_id, draws_at_random
from lifeloop.store.vault import Vault

REMOTE = {"url": "http://host/v1", "model": "m", "concurrency": 8, "timeout_seconds": 60.0, "temperature": 0.0}
ONE = Candidate("one", "remote", "classify", ("a", "b"), REMOTE, files="f" * 64, prompt=Prompt("p", "s", "u"))

ALIKE = {
    "another name": {"name": "two"},
    "another data set": {"dataset": "d" * 64},
    "another parent": {"parent": "e" * 64},
    "a renamed prompt": {"prompt": Prompt("q", "s", "u")},
    "more at a time": {"settings": REMOTE | {"concurrency": 64}},
    "another patience": {"settings": REMOTE | {"timeout_seconds": 5.0, "retries": 9}},
    "other prices": {"settings": REMOTE | {"usd_per_million_in": 3.0, "usd_per_million_out": 9.0}},
}
UNLIKE = {
    "another model": {"settings": REMOTE | {"model": "n"}},
    "another endpoint": {"settings": REMOTE | {"url": "http://other/v1"}},
    "another temperature": {"settings": REMOTE | {"temperature": 0.5}},
    "another task": {"task": "generate"},
    "other labels": {"labels": ("a", "c")},
    "other files": {"files": "0" * 64},
    "another system prompt": {"prompt": Prompt("p", "t", "u")},
    "another user prompt": {"prompt": Prompt("p", "s", "v")},
    "no prompt": {"prompt": None},
    "another kind": {"kind": "llamacpp"},
}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(str(tmp_path / "vault"), cache=tmp_path / "cache")


def said_by(vault: Vault, **changes) -> str:
    return answering_id(vault, vault.put_value(msgspec.structs.replace(ONE, **changes)))


@pytest.mark.parametrize("changes", ALIKE.values(), ids=ALIKE)
def test_what_changes_no_answer_changes_no_id(vault, changes):
    assert said_by(vault, **changes) == said_by(vault)


@pytest.mark.parametrize("changes", UNLIKE.values(), ids=UNLIKE)
def test_what_may_change_an_answer_changes_the_id(vault, changes):
    assert said_by(vault, **changes) != said_by(vault)


def composed(vault: Vault, *members: Candidate, threshold: float = 0.5) -> str:
    ids = tuple(vault.put_value(member) for member in members)
    settings = {"members": ["cheap", "broad"], "threshold": threshold}
    return vault.put_value(Candidate("both", "cascade", "classify", ("a", "b"), settings, members=ids))


def test_a_composed_one_is_known_by_its_members(vault):
    renamed = msgspec.structs.replace(ONE, name="two", dataset="d" * 64)
    other = msgspec.structs.replace(ONE, files="0" * 64)
    first = answering_id(vault, composed(vault, ONE, other))
    assert answering_id(vault, composed(vault, renamed, other)) == first
    assert answering_id(vault, composed(vault, other, ONE)) != first
    assert answering_id(vault, composed(vault, ONE, other, threshold=0.6)) != first


def test_who_has_a_temperature_or_a_member_with_one_draws_at_random(vault):
    warm = msgspec.structs.replace(ONE, settings=REMOTE | {"temperature": 0.7})
    assert not draws_at_random(vault, vault.put_value(ONE))
    assert draws_at_random(vault, vault.put_value(warm))
    assert draws_at_random(vault, composed(vault, ONE, warm))
    assert not draws_at_random(vault, composed(vault, ONE, ONE))


def test_a_composed_one_adds_up_what_its_members_cost_so_that_their_prices_count(vault):
    priced = [
        msgspec.structs.replace(ONE, settings=REMOTE | {"usd_per_million_in": price, "usd_per_million_out": 0.0})
        for price in (1.0, 2.0)
    ]
    cheap, dear = (answering_id(vault, composed(vault, ONE, member)) for member in priced)
    assert cheap != dear
