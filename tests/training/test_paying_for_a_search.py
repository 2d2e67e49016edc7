"""A search for a prompt pays an endpoint by the token, and the budget of the brief holds there too."""

from pathlib import Path

import pytest
from openai_endpoint import serving
from prompt_scene import LABELS, PROMPT, examples, sorts_when

from lifeloop.core.candidates import Recipe
from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.engine.trial import Allowance, Workplace
from lifeloop.stages.make import make
from lifeloop.store.responses import Responses
from lifeloop.store.tables import examples_to_table, to_parquet
from lifeloop.store.vault import Vault

USD_A_CALL = 12e-6
"""The endpoint counts 12 tokens a reply, at 1 USD a million."""
SEARCH = {"parent": "small", "adapt": "prompt", "proposals": 4, "shots": [0], "items": 12, "budget_calls": 200}


def searched(folder: Path, url: str, usd: float) -> Id:
    vault = Vault(str(folder / "vault"), cache=folder / "cache")
    tables = {split: (vault.put(to_parquet(examples_to_table(examples(30, split)))),) for split in SPLITS}
    dataset = vault.put_value(Dataset(tables, dict.fromkeys(SPLITS, 30), LABELS, raw=""))
    workplace = Workplace(folder / "responses.sqlite", folder, 1, Allowance(usd=usd))
    prices = {"usd_per_million_in": 1.0, "usd_per_million_out": 1.0}
    small = {"kind": "remote", "url": url, "model": "small", "prompt": "sort", "retries": 0, "concurrency": 1, **prices}
    parent = make(vault, Recipe("small", "classify", LABELS, small, dataset, PROMPT), 0, workplace, progress=silent)
    wanted = Recipe("better", "classify", LABELS, SEARCH, dataset, None, parent, metric="accuracy")
    return make(vault, wanted, 0, workplace, progress=silent)


def spent(folder: Path) -> float:
    with Responses(folder / "responses.sqlite") as responses:
        return responses.spent(1).usd


def test_what_a_search_pays_is_booked(tmp_path):
    with serving(sorts_when(lambda turns: "mainly about" in turns[-1]["content"])) as endpoint:
        searched(tmp_path, endpoint.url, usd=1.0)
    assert spent(tmp_path) == pytest.approx(USD_A_CALL * len(endpoint.asked))


def test_a_search_ends_where_the_money_does_and_what_it_paid_is_booked(tmp_path):
    never = sorts_when(lambda turns: False)
    with serving(never) as endpoint, pytest.raises(ModelError, match="budget is used up") as caught:
        searched(tmp_path, endpoint.url, usd=20 * USD_A_CALL)
    assert caught.value.where == "lifeloop.toml: budget.usd"
    assert len(endpoint.asked) <= 21
    assert spent(tmp_path) == pytest.approx(USD_A_CALL * len(endpoint.asked))
