"""Small data sets in a vault, and candidates made from them as a cycle makes them."""

from pathlib import Path
from typing import Any

from lifeloop import plugins
from lifeloop.core.candidates import Candidate, Recipe
from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset, Example
from lifeloop.core.progress import silent
from lifeloop.engine.trial import CLEAN, Allowance, TrialOrder, Workplace, run_trial
from lifeloop.models.loading import load_candidate
from lifeloop.models.model import Model
from lifeloop.stages.make import make
from lifeloop.store.tables import examples_to_table, to_parquet
from lifeloop.store.vault import Vault

TOPICS = {
    "billing": ["refund my invoice", "the invoice amount is wrong", "charge on my card twice", "pay the bill"],
    "delivery": ["where is my parcel", "the parcel came late", "deliver it on monday", "courier lost the box"],
    "greeting": ["hello there", "good morning", "hi and hello", "good evening to you"],
}
PEOPLE = ["Ann Lee met Bob in Paris", "Bob lives in Paris", "call Ann Lee", "nobody is there"]
ENTITIES = {"Ann Lee": "person", "Bob": "person", "Paris": "location"}


def classify_pairs() -> list[tuple[str, str]]:
    texts = [
        (f"{text} {word}", topic) for topic, texts in TOPICS.items() for text in texts for word in ("now", "please")
    ]
    return sorted(texts)


def extract_pairs() -> list[tuple[str, str]]:
    import json

    def found(text: str) -> str:
        places = [(text.find(name), name, kind) for name, kind in ENTITIES.items() if name in text]
        return json.dumps(
            [
                {"type": kind, "text": name, "start": start, "end": start + len(name)}
                for start, name, kind in sorted(places)
            ]
        )

    return [(text, found(text)) for text in PEOPLE]


def answer_pairs() -> list[tuple[str, str]]:
    return [(text, f"This is about {topic}.") for text, topic in classify_pairs()]


PAIRS = {"classify": classify_pairs, "extract": extract_pairs, "generate": answer_pairs, "chat": answer_pairs}


class Scene:
    """A vault with one dataset, in which candidates are made and loaded."""

    def __init__(self, folder: Path, task: str) -> None:
        self.vault = Vault(str(folder / "vault"), cache=folder / "cache")
        self.task = task
        self.folder = folder
        pairs = PAIRS[task]()
        examples = {
            split: [
                Example(f"{split}{n}", text, reference, f"{n}", {"half": "odd" if n % 2 else "even"})
                for n, (text, reference) in enumerate(pairs)
            ]
            for split in SPLITS
        }
        tables = {split: (self.vault.put(to_parquet(examples_to_table(found))),) for split, found in examples.items()}
        self.inputs = [text for text, _ in pairs]
        self.labels = plugins.get("tasks", task).labels([reference for _, reference in pairs])
        counts = {split: len(pairs) for split in SPLITS}
        dataset = Dataset(tables=tables, counts=counts, labels=self.labels, raw="")
        self.dataset = self.vault.put_value(dataset)

    def make(self, table: dict[str, Any], name: str = "one", **recipe: Any) -> Id:
        wanted = Recipe(name, self.task, self.labels, table, self.dataset, **recipe)
        return make(self.vault, wanted, 0, self.workplace, progress=silent)

    def tried(self, candidate: Id) -> Id:
        order = TrialOrder(candidate, self.dataset, "validation", CLEAN, 0, "", 0.95, 0.1, 0)
        return self.vault.put_value(run_trial(self.vault, order, self.workplace, progress=silent))

    @property
    def workplace(self) -> Workplace:
        return Workplace(self.folder / "responses.sqlite", self.folder, 1, Allowance())

    def cascade(self) -> Id:
        """Make a cascade of two candidates that were made and tried before it."""
        members = [self.make({"kind": kind}, kind) for kind in ("features", "nearest")]
        table = {"kind": "cascade", "members": ["features", "nearest"]}
        return self.make(table, "both", members=tuple((member, self.tried(member)) for member in members))

    def abstaining(self) -> Id:
        """Make a candidate that answers for another, which was made and tried before it, where that one is sure."""
        member = self.make({"kind": "features", "min_examples": 1}, "features")
        table = {"kind": "abstain", "members": ["features"], "risk": 0.2}
        return self.make(table, "careful", members=((member, self.tried(member)),), out_of_scope=self.labels[-1])

    def candidate(self, identifier: Id) -> Candidate:
        return self.vault.get_value(identifier, Candidate)

    def load(self, identifier: Id, cache: str = "cache") -> Model:
        return load_candidate(Vault(self.vault.url, cache=self.folder / cache), identifier)
