"""Which preferences may be learnt from? Of all that were given, from everywhere: those that training sees, those that
it is watched on, and those that are set aside, each with its reason.

Takes raw rows with where they came from, gives every usable preference exactly one place. Who may be believed is for
the guards of alignment to say. Knows nothing of models and stores.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec
import polars as pl
from msgspec import Struct

from lifeloop.core.content import content_id, fraction
from lifeloop.core.data import Finding, Split
from lifeloop.core.data_brief import Data
from lifeloop.core.preferences import Doubt, Lean, Preference, Rater
from lifeloop.core.preferences_brief import PreferencesBrief
from lifeloop.guards.alignment.trust import judged
from lifeloop.guards.encoding import check_encoding
from lifeloop.guards.guard import MOST_EXAMPLES, Checked, comparable, digest_of, finding, numbered
from lifeloop.guards.language import check_language
from lifeloop.guards.near.beside import near_others
from lifeloop.guards.personal.masking import mask_personal
from lifeloop.guards.splits.rules import seconds_of
from lifeloop.guards.text import check_flaws, check_text
from lifeloop.stages.prefer_rows import FIRST, SUBJECT

VERSION = "2"
"""Changed by hand when the same rows would find other places, by a guard of alignment too."""

LEAK = "its input is in a split that judges"
NEAR_LEAK = "its input is almost the same as one in a split that judges"
REPEAT = "a repeat of another preference"
CERTAIN = (LEAK, NEAR_LEAK, REPEAT)
"""Reasons that are no suspicion: what is set aside for them is no part of an ablation either."""
TAKEN_OUT = "taken out by a person who looked at it"
_STEP = "preferences"


class Given(Struct, frozen=True):
    """Preferences of one origin, as they came."""

    origin: str
    """As Preference.origin."""
    table: pl.DataFrame
    """Of RAW_SCHEMA: `reference` was liked better than `rejected`, `group` is the rater."""


class Sorted(Struct, frozen=True):
    """Every preference in its place."""

    trusted: tuple[Preference, ...]
    held_out: tuple[Preference, ...]
    doubted: tuple[tuple[Preference, Doubt], ...]
    raters: tuple[Rater, ...]
    leans: tuple[Lean, ...]
    flip_rate: float
    findings: tuple[Finding, ...]


class Terms(Struct, frozen=True):
    """By what rules."""

    task: str
    data: Data
    """Of the project: as its texts are mended, masked and kept apart from what judges, so are those of preferences."""
    brief: PreferencesBrief


def section(terms: Terms) -> list[Any]:
    """Return what of the brief decides the places of the same rows."""
    refine, brief = terms.data.refine, terms.brief
    steps = [refine.encoding, refine.language, refine.personal_data, refine.contamination]
    about = [terms.task, terms.data.max_chars, brief.held_out, brief.seed, msgspec.to_builtins(brief.trust)]
    return [*about, [msgspec.to_builtins(step) for step in steps]]


def usable(given: Sequence[Given], terms: Terms) -> tuple[list[Preference], tuple[Finding, ...]]:
    """Return the preferences that rows hold, in order, and findings about the rows that hold none.

    Their texts are mended and their personal data is masked as the data's own is; raters' names too, so that different
    ones stay different.
    """
    found: list[Preference] = []
    told: list[Finding] = []
    ids: dict[str, int] = {}
    for each in given:
        table = each.table
        for step in _steps(terms):
            checked = step(numbered(table.drop("row", strict=False)))
            table = checked.table
            told += checked.findings
        rows = [(_preference(row, each.origin), row["time"]) for row in table.iter_rows(named=True)]
        same = [one.source for one, _ in rows if one.chosen == one.rejected]
        untimed = [one.source for one, time in rows if time.strip() and not one.at]
        told += [finding(_STEP, "quarantined", "both answers are the same", same)] if same else []
        told += [finding(_STEP, "kept", "a time that cannot be read", untimed)] if untimed else []
        for one, _ in rows:
            if one.chosen != one.rejected:
                ids[one.id] = n = ids.get(one.id, 0) + 1
                found.append(one if n == 1 else msgspec.structs.replace(one, id=f"{one.id}-{n}"))
    return found, tuple(told)


def _steps(terms: Terms) -> list[Callable[[pl.DataFrame], Checked]]:
    """Return the guards that look at one row alone, as refine has them; what is liked less may well be toxic."""
    refine, task = terms.data.refine, terms.task
    steps: list[Callable[[pl.DataFrame], Checked]] = [check_flaws]
    if refine.encoding.on:
        steps.append(lambda table: check_encoding(table, refine.encoding, task))
    steps.append(lambda table: check_text(table, terms.data.max_chars))
    if refine.language.on and refine.language.allowed:
        steps.append(lambda table: check_language(table, refine.language))
    if refine.personal_data.on:  # without a key: what people prefer is never unmasked
        steps.append(lambda table: mask_personal(table, refine.personal_data, task, None).checked)
    return steps


def _preference(row: Mapping[str, str], origin: str) -> Preference:
    """Return a row's preference, its id a hash of what it says, so that no other row changes it."""
    about = msgspec.json.decode(row["slices"], type=dict[str, str])
    first = about.get(FIRST, "")
    shown: Literal["", "chosen", "rejected"] = first if first in ("chosen", "rejected") else ""  # type: ignore[assignment]
    said = Preference(
        id="",
        input=row["input"],
        chosen=row["reference"],
        rejected=row["rejected"],
        rater=row["group"],
        subject=about.get(SUBJECT, ""),
        at=seconds_of(row["time"]) or 0.0,
        origin=origin,
        source=row["source"],
        shown_first=shown,
    )
    identity = [said.input, said.chosen, said.rejected, said.rater, said.at, said.origin]
    return msgspec.structs.replace(said, id=content_id(identity)[:16])


def sorted_out(
    preferences: Sequence[Preference],
    judging: Mapping[Split, Sequence[str]],
    reviews: Mapping[str, bool],
    terms: Terms,
) -> Sorted:
    """Return every preference in its place.

    `judging` are the inputs of the splits that judge, by split; `reviews` says of ids whether a person keeps them. What
    leaks or repeats stays out whatever a person says.
    """
    doubts = {doubt.preference: doubt for doubt in _repeats(preferences)}
    leaks, told = _leaks([each for each in preferences if each.id not in doubts], judging, terms)
    doubts |= {doubt.preference: doubt for doubt in leaks}
    known = {each.id for each in preferences}
    doubts = {id: Doubt(id, TAKEN_OUT) for id, keep in reviews.items() if not keep and id in known} | doubts
    told += _told(doubts.values(), preferences)
    unused = sum(id not in known for id in reviews)
    if unused:
        told.append(Finding("reviewed", "kept", unused, "an answer of a person that fits no preference"))
    believed = judged(
        [each for each in preferences if each.id not in doubts],
        terms.brief.trust,
        {id for id, keep in reviews.items() if keep and id in known},
    )
    doubts |= believed.doubts
    brief = terms.brief
    aside = {key for each in believed.trusted if fraction(key := key_of(each.input), brief.seed) < brief.held_out}
    return Sorted(
        trusted=tuple(each for each in believed.trusted if key_of(each.input) not in aside),
        held_out=tuple(each for each in believed.trusted if key_of(each.input) in aside),
        doubted=tuple((each, doubts[each.id]) for each in preferences if each.id in doubts),
        raters=believed.raters,
        leans=believed.leans,
        flip_rate=believed.flip_rate,
        findings=(*told, *believed.findings),
    )


def key_of(text: str) -> str:
    """Return what is equal for inputs that say the same: of a conversation, its system prompt is not compared."""
    return digest_of(comparable(text))


def _repeats(preferences: Sequence[Preference]) -> list[Doubt]:
    """Return doubts about what the same rater said of the same answers at the same time, but for the first."""
    sources = {each.id: each.source for each in preferences}
    return [
        Doubt(each.id, REPEAT, f"of {sources[first]}")
        for each in preferences
        if (first := each.id.partition("-")[0]) != each.id and first in sources
    ]


def _leaks(
    preferences: Sequence[Preference], judging: Mapping[Split, Sequence[str]], terms: Terms
) -> tuple[list[Doubt], list[Finding]]:
    """Return doubts about preferences whose input judges, and findings about near copies that are only reported.

    Of short texts to label, near copies with another answer are no copies: there only the same texts leak.
    """
    splits = {key_of(text): split for split, texts in judging.items() for text in texts}
    keys = {each.input: key_of(each.input) for each in preferences}
    exact = [Doubt(each.id, LEAK, split) for each in preferences if (split := splits.get(keys[each.input]))]
    rules = terms.data.refine.contamination
    if not rules.on or terms.task == "classify":
        return exact, []
    texts = [text for text, key in keys.items() if key not in splits]
    others = [(split, text) for split, found in judging.items() for text in found]
    near = near_others(texts, [text for _, text in others], rules.similarity)
    alike = {texts[place]: f"{others[other][0]}, similarity {share:.2f}" for place, (other, share) in near.items()}
    found = [each for each in preferences if each.input in alike]
    if rules.action == "drop" or not found:
        return [*exact, *(Doubt(each.id, NEAR_LEAK, alike[each.input]) for each in found)], []
    return exact, [finding(_STEP, "kept", NEAR_LEAK, [each.source for each in found])]


def _told(doubts: Collection[Doubt], preferences: Sequence[Preference]) -> list[Finding]:
    """Return a finding for each reason."""
    sources = {each.id: each.source for each in preferences}
    by_reason: dict[str, list[str]] = {}
    for doubt in doubts:
        by_reason.setdefault(doubt.reason, []).append(sources[doubt.preference])
    return [
        Finding(_STEP, "quarantined", len(found), reason, tuple(found[:MOST_EXAMPLES]))
        for reason, found in by_reason.items()
    ]
