"""What examining leaves to the steps that look at all rows."""

import json

import polars as pl
import pytest
from refining_scene import a_vault

from lifeloop.core.data_brief import Data, PersonalData, Refine
from lifeloop.guards.guard import comparable
from lifeloop.guards.seal import data_key
from lifeloop.stages.examine import examine
from lifeloop.store.tables import RAW_SCHEMA, from_parquet, to_parquet

KEY = data_key("correct horse battery staple")


def examined(rows: list[dict[str, str]], key: bytes | None = None, **personal: object) -> pl.DataFrame:
    empty = {**dict.fromkeys(RAW_SCHEMA, ""), "slices": "{}", "reference": "a"}
    full = [{**empty, "id": f"r{n}", "source": f"f:{n}", **row} for n, row in enumerate(rows)]
    vault = a_vault("examine")
    raw = vault.put(to_parquet(pl.DataFrame(full, schema=RAW_SCHEMA)))
    data = Data(source="f", refine=Refine(personal_data=PersonalData(**personal)))
    return from_parquet(vault.get(examine(vault, raw, data, "classify", key).table))


MAILS = [{"input": f"please write to ann{n}@example.org about it", "group": f"bob{n}@example.org"} for n in range(40)]


@pytest.mark.parametrize(
    ("key", "settings"),
    [(KEY, {}), (None, {"kinds": ("mail", "ip")}), (None, {"on": False})],
)
def test_whatever_is_masked_and_how_a_row_falls_in_the_same_place(key, settings):
    assert examined(MAILS, key, **settings)["place"].to_list() == examined(MAILS)["place"].to_list()


def test_with_a_key_as_without_texts_that_differ_in_what_was_masked_are_repeats():
    for key in (None, KEY):
        assert examined(MAILS, key)["key"].n_unique() == 1


def test_of_conversations_what_was_said_is_compared():
    def chat(question: str) -> str:
        return json.dumps(
            [
                {"role": "system", "content": "You help the shop's customers. " * 20},
                {"role": "user", "content": question},
            ]
        )

    assert comparable(chat("Where is my parcel?")) == "where is my parcel"
    assert comparable("Where is my parcel?") == "where is my parcel"
    assert comparable('[{"role": 3}]') == "role 3"
