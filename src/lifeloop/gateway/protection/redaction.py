"""Masks personal data in what the gateway records, where the brief asks for it. Answers go out as they are.

Finds what refining finds and puts the same masks in its place, so that redacted events can become rows. What was masked
in the input is masked in the output too, though it looks like nothing there. Knows nothing of requests.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from lifeloop.core.data_brief import PersonalData
from lifeloop.core.events import Event, Feedback
from lifeloop.filters.protection import masked_kinds
from lifeloop.guards.personal.kinds import FINDERS, find_personal
from lifeloop.guards.personal.masking import Masking, masked_text
from lifeloop.guards.rewriting import Edit, edited, moved_entities, rewritten

REGIONS = PersonalData().regions
LEAST_KNOWN = 4
"""Characters of a masked value that is looked for by itself: a shorter one stands in other words."""
_AS_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_CODE = re.compile(r"\\x\{([0-9a-f]+)\}")


def redactor(kinds: Sequence[str], regions: Sequence[str] = REGIONS, task: str = "") -> "Redactor | None":
    """Return what masks events, or None where nothing is to be masked.

    `kinds` are those of data.refine.personal_data, or "all"; of a label (`task` "classify") nothing is masked, and
    entities ("extract") keep their places. The brief's kinds and regions were checked when the project was opened.
    """
    if not kinds:
        return None
    wanted = masked_kinds(kinds)
    find_personal("I am Ann Lee, call +44 20 7946 0958", wanted, regions)  # what a kind lacks is missed now, not later
    return Redactor(wanted, regions, task)


class Redactor:
    """Masks one event, or one piece of feedback, after the other."""

    def __init__(self, kinds: Sequence[str], regions: Sequence[str], task: str) -> None:
        self._kinds = kinds
        self._regions = regions
        self._task = task
        self._hints = [(kind, _hint_in_small_letters(FINDERS[kind].hint)) for kind in kinds]

    def __call__(self, event: Event) -> Event:
        """Return the event without personal data in input, output and error."""
        known: dict[str, str] = {}
        passes: list[list[Edit]] = []
        text = self._masked(event.input, known, passes)
        output = event.output
        if self._task == "extract":
            place = event.input
            for edits in passes:
                place = edited(place, edits)
                output = moved_entities(output, edits, place)
        if self._task != "classify":
            output = self._masked(_replaced(output, known), known)
        error = self._masked(_replaced(event.error, known), known) if event.error else ""
        if text == event.input and output == event.output and error == event.error:
            return event
        return msgspec.structs.replace(event, input=text, output=output, error=error)

    def feedback(self, feedback: Feedback) -> Feedback:
        """Return the feedback without personal data in comment, rater and, where it is a text, correction.

        A rater who is named by personal data keeps a name: whose votes are whose still counts.
        """
        comment = self._masked(feedback.comment, {})
        label = feedback.label
        if label is not None and self._task != "classify":
            label = self._masked(label, {})
        rater = feedback.rater
        if rater and self._masked(rater, {}) != rater:
            rater = _hashed(rater)
        return msgspec.structs.replace(feedback, comment=comment, label=label, rater=rater)

    def _masked(self, text: str, known: dict[str, str], passes: list[list[Edit]] | None = None) -> str:
        """Return a text, or a conversation, without personal data; note what was masked, and where."""

        def change(words: str) -> str:
            small = words.lower()
            kinds = [kind for kind, hint in self._hints if hint.search(small)]
            if not kinds:
                return words
            masked, edits, _ = masked_text(words, Masking(kinds, self._regions, None, {}))
            before = words
            for each in edits:
                known.update((before[edit.start : edit.end], edit.text) for edit in each)
                before = edited(before, each)
            if passes is not None:
                passes.extend(edits)
            return masked

        if self._task == "chat" or (text.startswith("[") and self._task != "extract"):
            return rewritten(text, change)
        return change(text)


def _hashed(name: str) -> str:
    """Return by what a rater is known instead of a name: letters alone, so that none of it looks like a number."""
    digest = blake2b(name.encode(), digest_size=16, person=b"lifeloop-rater").hexdigest()
    return "rater-" + digest.translate(_AS_LETTERS)


def _replaced(text: str, known: dict[str, str]) -> str:
    """Return a text with each known value replaced by its mask, the longest first."""
    for value in sorted(known, key=len, reverse=True):
        if len(value) >= LEAST_KNOWN:
            text = text.replace(value, known[value])
    return text


def _hint_in_small_letters(hint: str) -> re.Pattern[str]:
    """Return a hint for texts in small letters: what it finds is more, never less, and four times as fast.

    Python searches alternatives by their first letters only where case counts.
    """
    return re.compile(_CODE.sub(_character, hint.replace("(?i)", "").replace("(?i:", "(?:")).lower())


def _character(code: re.Match[str]) -> str:
    return re.escape(chr(int(code[1], 16)))
