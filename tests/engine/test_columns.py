"""Columns of data.slices on their way to the candidates that read them, and to nobody else."""

import contract_scene
import pytest
from contract_scene import Scene
from msgspec import Struct

from lifeloop.core.candidates import Message, Request
from lifeloop.core.evidence import Trial
from lifeloop.engine import cached
from lifeloop.engine.cached import key_of, narrowed
from lifeloop.models.columns_read import columns_read

BLIND = {"kind": "features", "word_ngrams": [0, 0], "char_ngrams": [0, 0], "columns": ["half"]}
"""Knows a request by its column alone."""
WHOM = "ab" * 16


@pytest.fixture
def scene(tmp_path, monkeypatch) -> Scene:
    """A data set whose texts say nothing, and whose column `half` says everything."""
    rows = [(f"note {n}", "ba"[n % 2]) for n in range(60)]
    monkeypatch.setitem(contract_scene.PAIRS, "classify", lambda: rows)
    return Scene(tmp_path, "classify")


def accuracy(scene: Scene, candidate: str) -> float:
    found = scene.vault.get_value(scene.tried(candidate), Trial).metric("accuracy")
    assert found is not None
    return found.value


def test_a_trial_hands_over_the_columns_that_a_candidate_reads(scene):
    candidate = scene.make(BLIND)
    assert columns_read(scene.vault, candidate) == {"half"}
    assert accuracy(scene, candidate) == 1.0
    assert columns_read(scene.vault, scene.make({"kind": "features"})) == frozenset()


def test_the_members_of_a_composed_candidate_get_theirs(scene):
    blind, common = scene.make(BLIND, "blind"), scene.make({"kind": "majority"}, "common")
    members = tuple((member, scene.tried(member)) for member in (blind, common))
    both = {"kind": "cascade", "members": ["blind", "common"], "threshold": 0.5}
    careful = {"kind": "abstain", "members": ["blind"], "threshold": 0.5}
    for made in (scene.make(both, members=members), scene.make(careful, members=members[:1])):
        assert columns_read(scene.vault, made) == {"half"}
        assert accuracy(scene, made) == 1.0


def test_the_parts_of_a_router_get_theirs(scene):
    routed = scene.make({"kind": "router", "by": "half", "router": BLIND, "specialist": {"kind": "features"}})
    assert columns_read(scene.vault, routed) == {"half"}
    assert accuracy(scene, routed) == 1.0


class RequestOfOld(Struct):
    text: str
    messages: tuple[Message, ...] = ()
    max_tokens: int = 0


def test_without_columns_the_cache_knows_what_it_knew_before_there_were_any(monkeypatch):
    encoded = []
    monkeypatch.setattr(cached, "_encode", lambda value: encoded.append(cached.msgspec.msgpack.encode(value)) or b"")
    talk = (Message("user", "hi"),)
    key_of(WHOM, Request("hi", talk, 5), 3)
    assert encoded == [cached.msgspec.msgpack.encode((RequestOfOld("hi", talk, 5), 3))]


def test_the_key_tells_columns_apart_whatever_their_order():
    plain, web = Request("hi"), Request("hi", columns={"channel": "web", "age": "4"})
    assert key_of(WHOM, web) == key_of(WHOM, Request("hi", columns={"age": "4", "channel": "web"}))
    assert len({key_of(WHOM, each) for each in (plain, web, Request("hi", columns={"channel": "desk"}))}) == 3
    assert narrowed(web, ()) == plain
    assert narrowed(web, ("age", "other")).columns == {"age": "4"}
    assert len({plain, web, Request("hi")}) == 2
