"""Labels that cannot all be right: spellings of one label, likely typing errors, and texts with two labels.

Takes the rows of a classification, gives those whose labels can be trusted. A likely error is only ever set aside
with a suggestion: it is people who decide what was meant.
"""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import polars as pl

from lifeloop.core.data import Finding
from lifeloop.guards.guard import Checked, finding, taken_out

MOST_TYPOS = 3
"""A label on more rows than this is no typing error."""
TIMES_RARER = 20
"""How many times more frequent the label must be that was meant."""

_QUOTES = " \t\r\n\"'`"
_ENDS = _QUOTES + ".,;:!"
_BETWEEN = re.compile(r"(?<=[^\W\d_])[\s_./-]+(?=\w)|(?<=\w)[\s_./-]+(?=[^\W\d_])|\s+")


def label_key(label: str) -> str:
    """Return what spellings of one label have in common: case, surrounding marks and what joins words do not count.

    Signs that carry meaning stay: "-1" is not "1", "C++" is not "C", ".NET" is not "net", "1.2" is not "1-2".
    """
    folded = unicodedata.normalize("NFKC", label).casefold()
    return _BETWEEN.sub(" ", folded.lstrip(_QUOTES).rstrip(_ENDS)) or folded.strip()


def merge_variants(table: pl.DataFrame, out_of_scope: str = "") -> Checked:
    """Write each label in its commonest spelling; the out-of-scope label as the brief spells it, where data does too.

    Takes no row out; what was changed is in the notes and the findings.
    """
    counts: Counter[str] = Counter()
    for label, n in table["reference"].value_counts().iter_rows():
        counts[label.strip()] += n
    spellings: dict[str, list[str]] = {}
    for label in counts:
        spellings.setdefault(label_key(label), []).append(label)
    chosen = {
        label: min(family, key=lambda each: (each != out_of_scope, -counts[each], each))
        for family in spellings.values()
        for label in family
    }
    written = {label: chosen[label.strip()] for label in table["reference"].unique()}
    changed = {label: now for label, now in written.items() if label != now}
    findings = _scope_finding(set(written.values()), out_of_scope)
    if not changed:
        return Checked(table, {}, {}, findings)
    affected = table.filter(pl.col("reference").is_in(list(changed)))
    notes: dict[int, str] = {}
    by_label: dict[str, list[str]] = {}
    for row, label, source in affected.select("row", "reference", "source").iter_rows():
        notes[row] = f"its label {label!r} is written {changed[label]!r}"
        by_label.setdefault(label, []).append(source)
    found = tuple(
        finding("labels", "kept", f"the label {label!r} written as {changed[label]!r}", sources)
        for label, sources in by_label.items()
    )
    table = table.with_columns(pl.col("reference").replace(changed))
    return Checked(table, {}, notes, (*found, *findings))


def check_typos(table: pl.DataFrame, out_of_scope: str = "") -> Checked:
    """Quarantine rows whose rare label is one slip of the keyboard from a label that is far more frequent."""
    counts = dict(table["reference"].value_counts(sort=True).iter_rows())
    frequent = [(label, label_key(label), n) for label, n in counts.items() if n >= TIMES_RARER]
    rare = [label for label, n in counts.items() if n <= MOST_TYPOS and label != out_of_scope]
    meant = {label: _meant(label, counts[label], frequent) for label in rare}
    suspects = {label: other for label, other in meant.items() if other}
    rows = table.filter(pl.col("reference").is_in(list(suspects))).select("row", "reference")
    out = {
        row: ("a label that looks like a typing error", f"{label!r}: did it mean {suspects[label]!r}?")
        for row, label in rows.iter_rows()
    }
    return taken_out(table, out, "labels", "quarantined")


def check_conflicts(table: pl.DataFrame) -> Checked:
    """Quarantine all rows of a text that has several labels: nobody can say here which one is right.

    What a model wrote contradicts nobody: it goes itself where a row that came has another label.
    """
    written = pl.col("source").str.starts_with("synthetic:")
    several = table.filter(pl.col("reference").n_unique().over("key") > 1)
    labels: dict[str, list[str]] = {}
    for key, label in several.select("key", "reference").iter_rows():
        labels.setdefault(key, []).append(label)
    came = several.filter(~written).select("key", "reference").unique().with_columns(alone=pl.len().over("key") == 1)
    agrees = came.filter("alone").select("key", "reference")
    several = several.join(agrees, on=["key", "reference"], how="anti", maintain_order="left")
    out = {
        row: ("the same text with different labels", ", ".join(sorted(set(labels[key]))))
        for row, key in several.select("row", "key").iter_rows()
    }
    return taken_out(table, out, "conflicts", "quarantined")


def slips(one: str, other: str, most: int) -> int:
    """Return how many letters must be put in, left out, changed or swapped to make one text the other, or most + 1.

    The optimal string alignment distance (Damerau, 1964): a swap of neighbours counts once.
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        now = [i]
        for j, b in enumerate(other, start=1):
            cost = min(row[j] + 1, now[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            now.append(cost)
        if min(now) > most and min(row) > most:  # the distance never falls from here: a swap looks two rows back
            return most + 1
        before, row = row, now
    return min(row[-1], most + 1)


def _meant(label: str, count: int, frequent: Sequence[tuple[str, str, int]]) -> str:
    """Return the label that a rare one is probably meant to be, or "". `frequent` holds labels, keys and counts."""
    key = label_key(label)
    most = 1 if len(key) < 8 else 2
    if len(key) < 4:
        return ""
    near = []
    for other, other_key, n in frequent:
        if n < TIMES_RARER * count or _digits(other) != _digits(label):
            continue
        distance = slips(key, other_key, most)
        if 0 < distance <= most:
            near.append((distance, -n, other))
    return min(near)[2] if near else ""


def _digits(label: str) -> str:
    """Return the digits of a label: "level 1" and "level 2" are two labels, not a slip."""
    return "".join(letter for letter in label if letter.isdigit())


def _scope_finding(labels: set[str], out_of_scope: str) -> tuple[Finding, ...]:
    if not out_of_scope or out_of_scope in labels:
        return ()
    close = difflib.get_close_matches(out_of_scope, sorted(labels), n=1, cutoff=0.5)
    guess = f"; did data.out_of_scope mean {close[0]!r}?" if close else ""
    return (finding("labels", "kept", f"no row has the out-of-scope label {out_of_scope!r}{guess}", []),)
