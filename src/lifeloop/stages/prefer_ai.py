"""Preferences of a model: it is shown two answers, in both orders, and says which follows a constitution better.

Takes training examples and ways to ask models, gives raw rows as `prefer_rows` does for files. Only verdicts that hold
in both orders count; every pair that was asked for comes out, where it is of no use with its flaw. Knows nothing of
models and money. Constitutional AI: Bai et al., 2022; both orders: Zheng et al., 2023.
"""

import math
from collections.abc import Callable, Sequence

import polars as pl
from msgspec import Struct

from lifeloop.core.candidates import Answer, Contract, Message, Prompt
from lifeloop.core.content import canonical, fraction, normalise
from lifeloop.core.data import Example
from lifeloop.core.preferences import Lean
from lifeloop.core.preferences_brief import AiJudge
from lifeloop.metrics import judge_prompts
from lifeloop.models import prompting
from lifeloop.models.model import Writing
from lifeloop.stages.prefer_rows import FIRST, SUBJECT
from lifeloop.stats.proportions import clopper_pearson
from lifeloop.store.tables import RAW_SCHEMA
from lifeloop.store.training_data import sample
from lifeloop.tasks.chat import request_for

VERSION = "1"
"""Changed by hand when the same replies would give other rows, or the same examples other questions."""

SYNTHETIC = "synthetic:"
CHANGES = "the judge's verdict changes with the order of the answers"
MAX_WORDS = 600
"""Longer inputs and answers are cut to this many words for the judge."""
CONFIDENCE = 0.95

Write = Callable[[Sequence[Writing]], list[Answer]]
"""From writings to one answer each. Raises whatever ends the whole."""


class Terms(Struct, frozen=True):
    """What is asked, apart from the examples."""

    task: str
    contract: Contract
    prompt: Prompt | None
    """Of who answers."""
    constitution: str
    settings: AiJudge


class Draft(Struct, frozen=True):
    """An input with two answers."""

    input: str
    first: str
    second: str
    flaw: str


class Verdicts(Struct, frozen=True):
    """What the judge said."""

    table: pl.DataFrame
    """Of RAW_SCHEMA."""
    lean: Lean
    """How often it preferred what it saw first."""


def drafts(examples: Sequence[Example], terms: Terms, write: Write, at_once: int) -> list[Draft]:
    """Return two answers each to at most `settings.pairs` training inputs, which the seed draws.

    `write` asks who answers, `at_once` at a time. Raises what it raises.
    """
    own = [example for example in examples if not example.source.startswith(SYNTHETIC)]
    chosen = sample(own, terms.settings.pairs, terms.settings.seed)
    writings = [_answer(example, terms, n) for example in chosen for n in (0, 1)]
    answers = _asked(writings, write, at_once)
    return [_draft(example, *answers[2 * n : 2 * n + 2]) for n, example in enumerate(chosen)]


def verdicts(found: Sequence[Draft], terms: Terms, write: Write, at_once: int) -> Verdicts:
    """Return what the judge prefers. `write` asks it, `at_once` questions at a time. Raises what it raises."""
    cases = [draft for draft in found if not draft.flaw]
    asked = [_question(draft, terms, swapped=swapped) for draft in cases for swapped in (False, True)]
    said = _verdicts(asked, write, at_once)
    pairs = iter([(said[n], said[n + 1]) for n in range(0, len(said), 2)])
    rows = [_row(n, draft, (math.nan, math.nan) if draft.flaw else next(pairs), terms) for n, draft in enumerate(found)]
    return Verdicts(pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row"), _lean(said, terms.settings.judge))


def _answer(example: Example, terms: Terms, number: int) -> Writing:
    """Return how an answer is asked for: as users would ask, at a temperature."""
    settings = terms.settings
    prompt = terms.prompt or prompting.PLAIN
    turns = prompting.messages(prompt, terms.contract, (), request_for(terms.task, example.input), MAX_WORDS)
    seed = int(fraction(f"{example.id}/{number}", settings.seed) * 2**31)
    return Writing(tuple(turns), settings.max_tokens, settings.temperature, seed, terms.contract.schema)


def _draft(example: Example, one: Answer, other: Answer) -> Draft:
    first, second = one.output.strip(), other.output.strip()
    flaw = ""
    if one.error or other.error:
        flaw = f"the model did not answer: {one.error or other.error}"
    elif not first or not second:
        flaw = "the model wrote nothing"
    elif normalise(first) == normalise(second):
        flaw = "both answers are the same"
    return Draft(example.input, first, second, flaw)


def _question(draft: Draft, terms: Terms, *, swapped: bool) -> Writing:
    parts = (draft.input, draft.second, draft.first)
    case = judge_prompts.Case(*(judge_prompts.cut(part, MAX_WORDS) for part in parts))
    turns = (
        Message("system", judge_prompts.system(terms.constitution, "pairwise")),
        Message("user", judge_prompts.pair(case, swapped=swapped)),
    )
    return Writing(turns, terms.settings.max_tokens, 0.0, 0, _SIDES)


_SIDES = {"type": "string", "enum": list(judge_prompts.SIDES)}


def _verdicts(questions: Sequence[Writing], write: Write, at_once: int) -> list[float]:
    """Return 1 a question where the judge prefers A, 0 for B, 0.5 for a tie; NaN where it says none, asked twice."""
    replies = _asked(questions, write, at_once)
    found = [math.nan if reply.error else judge_prompts.read_side(reply.output) for reply in replies]
    unread = [
        n for n, (reply, side) in enumerate(zip(replies, found, strict=True)) if math.isnan(side) and not reply.error
    ]
    stricter = [_stricter(questions[n], replies[n].output) for n in unread]
    for n, reply in zip(unread, _asked(stricter, write, at_once), strict=True):
        found[n] = math.nan if reply.error else judge_prompts.read_side(reply.output)
    return found


def _stricter(question: Writing, said: str) -> Writing:
    more = (Message("assistant", said or "…"), Message("user", judge_prompts.STRICTER["pairwise"]))
    return Writing((*question.messages, *more), question.max_tokens, 0.0, 0, question.schema)


def _asked(writings: Sequence[Writing], write: Write, at_once: int) -> list[Answer]:
    answers: list[Answer] = []
    for start in range(0, len(writings), at_once):
        answers += write(writings[start : start + at_once])
    return answers


def _row(number: int, draft: Draft, sides: tuple[float, float], terms: Terms) -> dict[str, str]:
    """Return the row of a pair. `sides` are the verdicts with the first answer as A, and then as B."""
    one, other = sides[0], 1.0 - sides[1]
    flaw, chosen, rejected = draft.flaw, draft.first, draft.second
    if not flaw and (math.isnan(one) or math.isnan(other)):
        flaw = "no readable verdict"
    elif not flaw and one != other:
        flaw = CHANGES
    elif not flaw and one == 0.5:
        flaw = "the judge holds both answers to be as good"
    if one == 0.0:
        chosen, rejected = rejected, chosen
    origin = f"ai:{terms.settings.judge}"
    return dict.fromkeys(RAW_SCHEMA, "") | {
        "input": draft.input,
        "reference": chosen,
        "rejected": rejected,
        "group": origin,
        "slices": canonical({SUBJECT: "", FIRST: ""}).decode(),
        "source": f"{origin}:{number}",
        "flaw": flaw,
    }


def _lean(sides: Sequence[float], judge: str) -> Lean:
    """Return how often the judge preferred the first answer, of the verdicts that prefer one."""
    decided = [side for side in sides if side in (0.0, 1.0)]
    first = sum(side == 1.0 for side in decided)
    low, high = clopper_pearson(first, len(decided), CONFIDENCE)
    share = first / len(decided) if decided else 0.5
    note = "asked in both orders: only verdicts that hold in both count"
    return Lean(f"position, ai:{judge}", share, low, high, len(decided), note)
