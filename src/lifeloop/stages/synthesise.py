"""Can a model write what is rare? Rows to train on, written after training examples and marked for ever as written.

Takes training examples and a way to ask a model, gives raw rows, which refine trusts no more than any other. Every
row that was asked for comes out: where the reply is of no use, with its flaw. Knows nothing of models and money.
"""

import bisect
import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import polars as pl
from msgspec import Struct

from lifeloop.core.candidates import Answer, Message
from lifeloop.core.content import fraction, normalise
from lifeloop.core.data import Example
from lifeloop.core.data_brief import Synthesis
from lifeloop.models.model import Writing
from lifeloop.stages import written_forms
from lifeloop.stages.written_forms import Form
from lifeloop.store.tables import RAW_SCHEMA

VERSION = "1"
"""Changed by hand when the same replies would give other rows, or the same examples other questions."""

MARK = "synthetic:"
"""What the source of every written row begins with."""
SHOWN_CHARS = 6000
"""Characters of all training rows that are shown at a time, so that they fit a small model's context."""

Write = Callable[[Sequence[Writing]], list[Answer]]
"""From writings to one answer each. Raises whatever ends the whole."""


class Terms(Struct, frozen=True):
    """What is to be written, apart from the examples."""

    task: str
    problem: str
    """The use case in its people's words, or ""."""
    settings: Synthesis


class Wanted(Struct, frozen=True):
    """One row that is to be written."""

    label: str
    """For classify its label, for extract an entity type that it must have, otherwise ""."""
    shots: tuple[Example, ...]
    """The training rows to show."""
    seed: int


def synthesise(examples: Sequence[Example], terms: Terms, write: Write, at_once: int) -> pl.DataFrame:
    """Return `terms.settings.rows` rows of RAW_SCHEMA. `examples` are of train; `at_once` writings are asked at a time.

    Raises what `write` raises.
    """
    form = written_forms.form(terms.task)
    orders = wanted(examples, terms, form)
    writings = [writing(order, terms, form) for order in orders]
    known = labels_of(examples, terms.task)
    answers: list[Answer] = []
    for start in range(0, len(writings), at_once):
        answers += write(writings[start : start + at_once])
    rows = [
        _row(f"{MARK}{terms.settings.model}:{number}", order, asked, answer, form, known)
        for number, (order, asked, answer) in enumerate(zip(orders, writings, answers, strict=True))
    ]
    return pl.DataFrame(rows, schema=RAW_SCHEMA)


def labels_of(examples: Iterable[Example], task: str) -> Counter[str]:
    """Return how many rows each label has, or for extract each entity type; {"": n} for tasks without."""
    form = written_forms.form(task)
    return Counter(label for example in examples for label in set(form.labels(example)))


def wanted(examples: Sequence[Example], terms: Terms, form: Form) -> list[Wanted]:
    """Return what is to be written: the rarest labels first until all are level, then in turn.

    What one row is shown depends on its label, on how manieth of that label it is and on the seed; another training row
    changes little of it, so that most of what was written before serves again.
    """
    own = [example for example in examples if not example.source.startswith(MARK)]
    settings = terms.settings
    counts = labels_of(own, terms.task)
    if settings.labels:
        counts = Counter({label: counts[label] for label in settings.labels})
    short = [example for example in own if _length(example) <= SHOWN_CHARS]
    rings = {label: _Ring([each for each in short if label in form.labels(each)], settings.seed) for label in counts}
    whole = _Ring(short, settings.seed)
    asked: Counter[str] = Counter()
    found = []
    for label in level(counts, settings.rows):
        name = f"{label}/{asked[label]}"
        asked[label] += 1
        shots = rings[label].draw(name, settings.shots, ())
        shots = whole.draw(name, settings.shots, shots)  # of others, where its own are too few to show
        found.append(Wanted(label, _within(shots), int(fraction(name, settings.seed) * 2**31)))
    return found


def level(counts: Mapping[str, int], n: int) -> list[str]:
    """Return n labels, each time the one that has fewest by then; in the order of the alphabet where several have."""
    waiting = [(count, label) for label, count in counts.items()]
    heapq.heapify(waiting)
    found = []
    for _ in range(n if waiting else 0):
        count, label = waiting[0]
        heapq.heapreplace(waiting, (count + 1, label))
        found.append(label)
    return found


def writing(order: Wanted, terms: Terms, form: Form) -> Writing:
    """Return how a row is asked for: the rules, the shots as turns that were answered well, and one turn more."""
    about = f"The use case: {terms.problem.strip()}" if terms.problem.strip() else ""
    turns = [Message("system", "\n".join(filter(None, [form.rules, about])))]
    for shot in order.shots:
        own = form.labels(shot)
        asked = order.label if order.label in own or not own else own[0]
        turns += [Message("user", form.ask(asked)), Message("assistant", form.show(shot))]
    turns.append(Message("user", form.ask(order.label)))
    longest = max((len(form.show(shot)) for shot in order.shots), default=0)
    return Writing(
        messages=tuple(turns),
        max_tokens=min(2048, 96 + longest * 2 // 3),  # twice as long as the longest, at three characters a token
        temperature=terms.settings.temperature,
        seed=order.seed,
        schema=form.schema,
    )


def _row(
    source: str, order: Wanted, asked: Writing, answer: Answer, form: Form, known: Collection[str]
) -> dict[str, str]:
    """Return the row that an answer gives."""
    row = dict.fromkeys(RAW_SCHEMA, "") | {"id": source, "source": source, "slices": "{}"}
    said = answer.output.strip()
    if answer.error:
        return row | {"reference": order.label, "flaw": f"the model did not answer: {answer.error}"}
    if not said:
        return row | {"reference": order.label, "flaw": "the model wrote nothing"}
    unread = row | {"input": said, "reference": order.label}
    if answer.tokens_out >= asked.max_tokens:
        return unread | {"flaw": f"the model came to no end: cut off after {asked.max_tokens} tokens"}
    try:
        text, reference = form.read(said, order.label, known)
    except ValueError as error:
        return unread | {"flaw": str(error)}
    row |= {"input": text, "reference": reference}
    if normalise(text) in {normalise(shot.input) for shot in order.shots}:
        return row | {"flaw": "the model repeated an example that it was shown"}
    return row


def _within(shots: Sequence[Example]) -> tuple[Example, ...]:
    """Return the first shots that are short enough together."""
    kept, total = [], 0
    for shot in shots:
        total += _length(shot)
        if total > SHOWN_CHARS:
            break
        kept.append(shot)
    return tuple(kept)


def _length(example: Example) -> int:
    return len(example.input) + len(example.reference)


class _Ring:
    """Examples on a circle, each where its hash puts it, to draw from so that one more changes few draws.

    Consistent hashing (Karger et al., 1997).
    """

    def __init__(self, examples: Sequence[Example], seed: int) -> None:
        placed = sorted(((fraction(example.id, seed), example) for example in examples), key=lambda pair: pair[0])
        self._places = [place for place, _ in placed]
        self._examples = [example for _, example in placed]
        self._seed = seed

    def draw(self, name: str, n: int, before: Sequence[Example]) -> tuple[Example, ...]:
        """Return `before` with as many more as make it n, or all there are. The same name draws the same."""
        drawn = {example.id: example for example in before}
        there = len(self._examples)
        for number in range(n):
            if len(drawn) >= n or not there:
                break
            start = bisect.bisect_left(self._places, fraction(f"{name}/{number}", self._seed))
            for step in range(there):
                example = self._examples[(start + step) % there]
                if example.id not in drawn:
                    drawn[example.id] = example
                    break
        return tuple(drawn.values())
