"""What training rows come from, and which rows an origin has flipped the labels of.

An origin is a file, a model, all feedback, or what a slice column says (an annotator, a site). Takes rows and the words
of some of them, gives rows with what is wrong. Which origin disagrees with its texts is for suspicious_sources to say.
"""

import msgspec
import numpy as np
import polars as pl

from lifeloop.guards.guard import Texts
from lifeloop.guards.suspicious.sources import LEAST_ROWS, flipped
from lifeloop.guards.suspicious.words import Words, read_texts, shortened, words_of

MOST_LABELS = 500
"""With more labels, origins are not compared."""
MOST_VALUES = 1000
"""A column of more values is none that many rows come from."""


def flips(train: pl.DataFrame, sample: pl.DataFrame, words: Words, texts: Texts, most_chars: int) -> dict[int, str]:
    """Return the rows whose label their origin has probably flipped, each with the detail.

    `words` are those of the sample, in its order. Other rows are read only where the sample makes an origin suspect, as
    many at a time as the sample has.
    """
    if sample["reference"].n_unique() > MOST_LABELS:
        return {}
    out: dict[int, str] = {}
    in_sample = train["row"].is_in(sample["row"].implode())
    for origin in _origins(train):
        rows = train.select("row", "key", "reference").with_columns(origin.alias("origin"))
        read = sample.select("row").join(rows, on="row", how="left", maintain_order="left")
        found, suspects = _flipped(read, words)
        out |= found
        for suspect in suspects if sample.height < train.height else ():
            rest = rows.filter(~in_sample & (pl.col("origin") == suspect))
            for start in range(0, rest.height, sample.height):
                more = pl.concat([read, rest[start : start + sample.height]]).sort("row")
                found, _ = _flipped(more, words_of(read_texts(texts, more["row"], most_chars)))
                out |= found
    return out


def _origins(train: pl.DataFrame) -> list[pl.Series]:
    """Return what the rows come from: by `source` without the row's own number, and by each column of slices."""
    files = train["source"].str.replace(r":[^:]*$", "")
    known = {text: msgspec.json.decode(text or "{}", type=dict[str, str]) for text in train["slices"].unique()}
    columns = sorted({column for values in known.values() for column in values})
    told = [
        train["slices"].replace_strict({text: values.get(column, "") for text, values in known.items()})
        for column in columns
    ]
    return [named for named in map(_frequent, [files, *told]) if 2 <= named.n_unique() <= MOST_VALUES]


def _frequent(named: pl.Series) -> pl.Series:
    """Return names, and "" where one has few rows."""
    name = pl.col("name")
    few = pl.len().over("name") < LEAST_ROWS
    return named.to_frame("name").select(pl.when(few).then(pl.lit("")).otherwise(name).alias("name"))["name"]


def _flipped(rows: pl.DataFrame, words: Words) -> tuple[dict[int, str], set[str]]:
    """Return what is wrong by row, and the suspected origins."""
    names, values = (rows[column].unique().sort() for column in ("reference", "origin"))
    labels = rows["reference"].replace_strict(names, np.arange(names.len()), return_dtype=pl.Int64).to_numpy()
    places = np.arange(values.len()) - (values[0] == "")  # the first of them is none
    sources = rows["origin"].replace_strict(values, places, return_dtype=pl.Int64).to_numpy()
    out, suspects = {}, set()
    for each in flipped(words, labels, sources):
        origin = values.filter(pl.Series(places == each.source))[0]
        suspects.add(origin)
        named = "its source" if "@" in origin else repr(origin)  # an address is a person's
        share = f"{len(each.texts)} of {each.n_rows} rows of {named} say something else"
        for text, other in zip(each.texts.tolist(), each.reads_like.tolist(), strict=True):
            reads = f"labelled {shortened(names[int(labels[text])])!r}, reads like {shortened(names[other])!r}"
            out[int(rows["row"][text])] = f"{reads}: {share}"
    return out, suspects
