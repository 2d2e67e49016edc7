"""API keys and their spending in the ledger: rows that are only added, on both databases."""

import contextlib
import threading
from itertools import pairwise

import msgspec
import pytest

from lifeloop.core.errors import GatewayError
from lifeloop.core.events import Event
from lifeloop.core.keys import KeyLimits, hash_secret, read_key
from lifeloop.lifecycle.api_keys import create_key, key_states, limit_key, revoke_key, rotate_key
from lifeloop.store.ledger import Ledger, open_ledger


@pytest.fixture
def ledger(ledger_url) -> Ledger:
    ledger = open_ledger(ledger_url)
    yield ledger
    ledger.close()


def clock() -> float:
    return 1_700_000_000.0


def create(ledger: Ledger, name: str = "web", **options) -> tuple[str, str]:
    made = create_key(ledger, name, **({"scopes": ["infer"], "by": "ann", "clock": clock} | options))
    return read_key(made.key)


def test_every_change_is_a_row_and_none_holds_a_secret(ledger):
    identifier, secret = create(ledger, limits=KeyLimits(5))
    rotated = read_key(rotate_key(ledger, identifier, hours=2, by="bob", clock=clock).key)[1]
    limit_key(ledger, identifier, by="cid", clock=clock, usd_per_day=2.5)
    revoke_key(ledger, identifier, by="dan", clock=clock)

    rows = ledger.key_rows()
    assert [(row.sequence, row.action, row.by) for row in rows] == [
        (1, "created", "ann"),
        (2, "rotated", "bob"),
        (3, "limited", "cid"),
        (4, "revoked", "dan"),
    ]
    assert [(row.hash, row.previous_hash) for row in rows] == [
        (hash_secret(secret), ""),
        (hash_secret(rotated), hash_secret(secret)),
        (hash_secret(rotated), hash_secret(secret)),
        ("", ""),
    ]
    assert not [row for row in rows if secret in str(row) or rotated in str(row)]
    assert ledger.key_rows(after=3) == rows[3:]
    (state,) = key_states(ledger, clock())
    assert state.limits == KeyLimits(5, 0, 2.5)
    assert state.state == "revoked"


def test_what_cannot_be(ledger):
    identifier, _ = create(ledger)
    with pytest.raises(GatewayError, match="there is no scope 'all'"):
        create(ledger, scopes=["all"])
    with pytest.raises(GatewayError, match="there is no API key 'nobody'"):
        rotate_key(ledger, "nobody", hours=1, by="ann", clock=clock)
    revoke_key(ledger, identifier, by="ann", clock=clock)
    for change in (rotate_key, revoke_key):
        with pytest.raises(GatewayError, match="is revoked"):
            change(ledger, identifier, by="ann", clock=clock, **({"hours": 1} if change is rotate_key else {}))
    assert len(ledger.key_rows()) == 2


def test_several_at_once_lose_nothing(ledger):
    identifier, _ = create(ledger)
    failed: list[BaseException] = []

    def changes(number: int) -> None:
        try:
            for _ in range(3):
                create(ledger, f"n{number}")
                rotate_key(ledger, identifier, hours=1, by="ann", clock=clock)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=changes, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    rows = ledger.key_rows()
    assert not failed
    assert [row.sequence for row in rows] == list(range(1, 26))
    turns = [row for row in rows if row.id == identifier]
    for before, after in pairwise(turns):
        assert after.previous_hash == before.hash, "each rests on the one before"


def test_spending_is_summed_by_key_day_and_place(ledger):
    events = [("a", 10.0, 1.0), ("a", 20.0, 0.5), ("b", 20.0, 2.0), ("", 20.0, 9.0), ("a", 30.0, 0.25)]
    ledger.add_served(
        [
            Event(f"e{place}", at, "r", "c", "n", "i", "o", None, 0.1, 1, 1, usd, api_key=key)
            for place, (key, at, usd) in enumerate(events)
        ],
        [],
    )
    last = ledger.last_event()
    assert last >= 5
    assert ledger.spending(["a", "b", "c"], 0.0, 0, last) == {"a": 1.75, "b": 2.0}
    assert ledger.spending(["a"], 15.0, 0, last) == {"a": 0.75}
    assert ledger.spending(["a"], 0.0, last - 1, last) == {"a": 0.25}
    assert ledger.spending(["a"], 0.0, 0, last - 1) == {"a": 1.5}
    assert ledger.spending([], 0.0, 0, last) == {}


def test_what_a_day_cost_is_found_without_reading_the_days_before(tmp_path):
    """It read the whole table of events, at each look that had a new key or a new day."""
    with contextlib.closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        events = [
            Event(f"e{n}", float(n), "r", "c", "n", "i", "o", None, 0.1, 1, 1, 1.0, api_key="a") for n in range(20_000)
        ]
        late = msgspec.structs.replace(events[0], id="late", at=19_990.5)
        ledger.add_served([*events[:10_000], late, *events[10_000:]], [])
        last, steps = ledger.last_event(), 0

        def count() -> int:
            nonlocal steps
            steps += 100
            return 0

        with ledger._engine.connect() as connection:
            connection.connection.dbapi_connection.set_progress_handler(count, 100)
        assert ledger.spending(["a"], 19_999.0, 0, last) == {"a": 1.0}
        assert steps < 5_000, "instructions of SQLite's machine"
        assert ledger.spending(["a"], 19_990.0, 0, last) == {"a": 11.0}, "one with a low number among them"
        assert steps > 50_000, "and what comes after it"
