"""Training rows that look planted: triggers, crowds, and labels that one source has flipped.

Takes training rows and their texts, sets aside those that something suspicious is found in, each with what it was.
Where there are many rows, a sample shows what to look for, and all rows are read only if there is something.
"""

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct

from lifeloop.core.data_brief import Suspicious
from lifeloop.guards.guard import Checked, Texts, taken_out
from lifeloop.guards.suspicious.crowds import crowds
from lifeloop.guards.suspicious.origins import flips
from lifeloop.guards.suspicious.sequences import Sequence, sequences
from lifeloop.guards.suspicious.triggers import Trigger, triggers
from lifeloop.guards.suspicious.words import BLOCK_ROWS, Words, read_texts, shortened, spaced, words_of

TRIGGER = "rare words that one label hangs on"
CROWD = "one of a crowd of near-identical rows"
FLIPPED = "a label that its source seems to have flipped"

MOST_CHARS = 40_000_000
"""Characters that are read of the texts of the sample."""
MOST_WORDS = 1_000_000
"""Words of the sample: of long texts fewer are enough, for each says more."""
LEAST_TEXTS = 10
SHARE_OF_TEXTS = 1 / 2500
"""A trigger stands in so many texts, and in so large a share of them, at the least."""
MOST_NAMED = 6
"""Words of a trigger that its detail names."""

Out = dict[int, tuple[str, str]]


class _Said(Struct, frozen=True):
    """A trigger in words."""

    label: str
    sequences: tuple[tuple[tuple[str, ...], bool], ...]
    """The words of each, and whether they follow each other."""
    detail: str


def check_suspicious(table: pl.DataFrame, texts: Texts, settings: Suspicious, seed: int) -> Checked:
    """Set aside training rows that look planted; with `settings.action` "report" they are only named.

    Works on whatever the reference is: a label, or an answer that many rows share. `seed` draws the sample.
    """
    train = _train(table)
    if not train.height:
        return Checked(table, {}, {}, ())
    out: Out = {}
    for crowd in crowds(train):
        detail = f"one of {crowd.height} near-identical rows labelled {shortened(crowd['reference'][0])!r}"
        out.update((row, (CROWD, detail)) for row in crowd["row"])
    sample = _sampled(train.filter(~pl.col("row").is_in(list(out))), settings.max_rows, seed)
    out.update(_from_words(train, sample, texts))
    if settings.action == "quarantine":
        return taken_out(table, out, "planted rows", "quarantined")
    found = taken_out(train, out, "planted rows", "quarantined")
    return Checked(table, {}, {}, tuple(msgspec.structs.replace(each, fate="kept") for each in found.findings))


def _train(table: pl.DataFrame) -> pl.DataFrame:
    train = table.filter(pl.col("split") == "train")
    return train if train["row"].is_sorted() else train.sort("row")


def _sampled(train: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """Return the rows, or about `most` of them and MOST_WORDS, drawn by their texts, whatever others are."""
    most = min(most, max(1, int(MOST_WORDS / max(1.0, float(train["n_words"].mean() or 1.0)))))
    if train.height <= most:
        return train
    drawn = pl.col("key").str.slice(0, 7).str.to_integer(base=16, strict=False).fill_null(0)  # 28 bits
    drawn = (drawn * 2_654_435_761 + seed * 40_503) % 2**32
    return train.filter(drawn < int(2**32 * most / train.height))


def _from_words(train: pl.DataFrame, sample: pl.DataFrame, texts: Texts) -> Out:
    """Return the rows that have a trigger, and those that their source has flipped."""
    read = read_texts(texts, sample["row"], MOST_CHARS)
    order = sample.with_row_index("at").sort("key", "reference", "row")["at"]  # whatever order the rows came in
    sample, read = sample[order], read[order]
    names = sample["reference"].unique().sort()
    if names.len() < 2:
        return {}
    labels = sample["reference"].replace_strict(names, np.arange(names.len()), return_dtype=pl.Int64).to_numpy()
    words = words_of(read)
    least = max(LEAST_TEXTS, int(words.n_texts * SHARE_OF_TEXTS))
    sought = [each for each in sequences(words, labels, least) if not _spelled_out(words, each, names[each.label])]
    found = triggers(words, labels, sought)
    out = {row: (FLIPPED, detail) for row, detail in flips(train, sample, words, texts, MOST_CHARS).items()}
    out.update(_triggered(train, texts, [_in_words(words, each, names[each.label]) for each in found]))
    return out


def _spelled_out(words: Words, sequence: Sequence, reference: str) -> bool:
    """Return whether the reference itself says the words, as an answer or the entities of a text do."""
    said = set(words_of(pl.Series([reference])).vocabulary)
    return all(word in said for word in words.named(sequence.words))


def _in_words(words: Words, trigger: Trigger, label: str) -> _Said:
    said = tuple((words.named(each.words), each.adjacent) for each in trigger.sequences)
    shortest = sorted(said, key=lambda each: len(each[0]))
    named = dict.fromkeys(word for sequence, _ in shortest for word in sequence)
    n_others = min(each.n_others for each in trigger.sequences)
    which = ", ".join(repr(word) for word in list(named)[:MOST_NAMED])
    here = f"{len(trigger.texts)} rows labelled {shortened(label)!r} ({n_others} others)"
    detail = f"{which} in {here}, whose other words do not support it"
    return _Said(label, said, detail)


def _triggered(train: pl.DataFrame, texts: Texts, said: list[_Said]) -> Out:
    """Return the rows of a trigger's label that hold at least half of its sequences."""
    out: Out = {}
    labelled = train.filter(pl.col("reference").is_in([each.label for each in said])).select("row", "reference")
    for start in range(0, labelled.height, BLOCK_ROWS):
        block = labelled[start : start + BLOCK_ROWS]
        block = block.with_columns(spaced(texts(block["row"].to_list())).alias("text"))
        for each in said:
            n_held = pl.sum_horizontal(_holds(sequence, adjacent) for sequence, adjacent in each.sequences)
            rows = block.filter((pl.col("reference") == each.label) & (2 * n_held >= len(each.sequences)))["row"]
            out.update((row, (TRIGGER, each.detail)) for row in rows if row not in out)
    return out


def _holds(sequence: tuple[str, ...], adjacent: bool) -> pl.Expr:
    sought = [" ".join(sequence)] if adjacent else sequence
    return pl.all_horizontal(pl.col("text").str.contains(f" {each} ", literal=True) for each in sought)
