"""What else is known of a request: columns of data.slices as numbers, dates, categories or short texts.

In training skrub's TableVectorizer looks at each column and says what it is. What a candidate keeps is plain: formats,
categories, terms and a scale; so that serving needs no skrub and takes microseconds. What is not known, or was never
seen, is zero everywhere, which is the mean of a number and none of the categories.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.candidates import Request
from lifeloop.core.errors import ModelError
from lifeloop.models.feature_blocks.block import Fitting, Matrix
from lifeloop.models.feature_blocks.ngrams import NgramBlock, load_terms, vectoriser
from lifeloop.models.feature_blocks.scaling import Scale, load_scale, scale_of
from lifeloop.models.feature_settings import Settings

if TYPE_CHECKING:
    from skrub import TableVectorizer

FILE, SCALE = "columns.json", "columns.npy"
WHERE = "candidates.columns"
TEXT_NGRAMS = (2, 4)
"""Of a column with many values: characters, since such values are names and codes rather than sentences."""

Floats = NDArray[np.float32]


class Column(Struct, frozen=True):
    """One column, and what it was found to be."""

    name: str
    holds: Literal["number", "date", "category", "text"]
    format: str = ""
    """How a date is written, as polars reads it."""
    values: tuple[str, ...] = ()
    """The categories."""


class ColumnsBlock:
    """The columns that say anything, side by side: numbers and dates scaled, categories one-hot, texts counted."""

    def __init__(self, found: Sequence[Column], texts: Sequence[NgramBlock], scale: Scale | None = None) -> None:
        self._columns = tuple(found)
        self._texts = dict(zip((column.name for column in found if column.holds == "text"), texts, strict=True))
        self._scale = scale

    def numbers(self, requests: Sequence[Request]) -> Floats:
        """Return numbers and dates as they are: (n, k), NaN where they are not known."""
        rows = [_numbers(column, _values(requests, column.name)) for column in self._columns]
        return np.hstack([np.zeros((len(requests), 0), dtype=np.float32), *rows])

    def transform(self, requests: Sequence[Request]) -> Matrix:
        """Return all columns side by side; sparse where any is a text."""
        from lifeloop.models.feature_blocks.blocks import side_by_side

        numbers = self.numbers(requests)
        parts: list[Matrix] = [self._scale.apply(numbers)] if self._scale is not None and numbers.shape[1] else []
        for column in self._columns:
            values = _values(requests, column.name)
            if column.holds == "category":
                parts.append(_one_hot(column, values))
            elif column.holds == "text":
                parts.append(self._texts[column.name].transform([Request(value) for value in values]))
        return side_by_side(parts) if parts else np.zeros((len(requests), 0), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write what the columns are, the scale of the numbers and the terms of the texts."""
        (folder / FILE).write_bytes(msgspec.json.encode(self._columns))
        if self._scale is not None:
            self._scale.save(folder / SCALE)
        for block in self._texts.values():
            block.save(folder)


class ColumnsKind:
    """Block "columns"."""

    name = "columns"

    def wanted(self, settings: Settings) -> bool:
        """Return whether any column is named."""
        return bool(settings.columns)

    def fit(self, fitting: Fitting) -> tuple[ColumnsBlock, Matrix]:
        """Find out what the columns are. Raises ModelError where training rows lack one, or skrub is not installed."""
        found = _look(fitting)
        texts = []
        for place, column in enumerate(found):
            if column.holds == "text":
                counter = vectoriser("char_wb", TEXT_NGRAMS, 1)
                counter.fit(_values(fitting.requests, column.name))
                texts.append(NgramBlock(_file_of(place), counter))
        bare = ColumnsBlock(found, texts)
        numbers = bare.numbers(fitting.requests)
        block = ColumnsBlock(found, texts, scale_of(numbers) if numbers.shape[1] else None)
        return block, block.transform(fitting.requests)

    def load(self, folder: Path, settings: Settings) -> ColumnsBlock:
        """Return the block from what was kept."""
        found = msgspec.json.decode((folder / FILE).read_bytes(), type=list[Column])
        texts = []
        for place, column in enumerate(found):
            if column.holds == "text":
                terms, idf = load_terms(folder, _file_of(place))
                known = {term: number for number, term in enumerate(terms)}
                counter = vectoriser("char_wb", TEXT_NGRAMS, 1, vocabulary=known)
                counter.idf_ = idf
                texts.append(NgramBlock(_file_of(place), counter))
        scale = load_scale(folder / SCALE) if (folder / SCALE).exists() else None
        return ColumnsBlock(found, texts, scale)


def _file_of(place: int) -> str:
    return f"column-{place}"  # a column's own name may hold anything


def _values(requests: Sequence[Request], name: str) -> list[str]:
    return [request.columns.get(name, "") for request in requests]


def _numbers(column: Column, values: Sequence[str]) -> Floats:
    """Return the numbers of a column: one, four of a date, none of other columns."""
    if column.holds == "number":
        return np.array([[_number(value)] for value in values], dtype=np.float32)
    if column.holds == "date":
        import polars as pl

        series = pl.Series(values, dtype=pl.String)
        when = series.str.to_datetime(format=column.format, strict=False, time_unit="us")
        parts = (when.dt.epoch("s") / 86_400, when.dt.month(), when.dt.weekday(), when.dt.hour())
        return np.stack([part.cast(pl.Float32).fill_null(np.nan).to_numpy() for part in parts], axis=1)
    return np.zeros((len(values), 0), dtype=np.float32)


def _number(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        return np.nan
    return found if np.isfinite(found) else np.nan


def _one_hot(column: Column, values: Sequence[str]) -> Floats:
    place = {value: number for number, value in enumerate(column.values)}
    rows = np.zeros((len(values), len(place)), dtype=np.float32)
    for row, value in enumerate(values):
        if value in place:
            rows[row, place[value]] = 1.0
    return rows


def _look(fitting: Fitting) -> list[Column]:
    """Return what skrub takes each column for; a column that says nothing is left out."""
    import polars as pl

    try:
        from skrub import TableVectorizer
    except ModuleNotFoundError:
        fix = "pip install 'lifeloop[features]'"
        raise ModelError("skrub is not installed, which looks at columns", where=WHERE, fix=fix) from None
    names = dict.fromkeys(fitting.settings.columns)
    missing = [name for name in names if not any(_values(fitting.requests, name))]
    if missing:
        raise ModelError(
            f"no training row has a value of {missing[0]!r}",
            where=WHERE,
            fix=f'name columns of data.slices: slices = ["{missing[0]}"]',
        )
    table = {name: [value or None for value in _values(fitting.requests, name)] for name in names}
    vectorizer = TableVectorizer(high_cardinality="drop").fit(
        pl.DataFrame(table, schema=dict.fromkeys(names, pl.String))
    )
    return [column for name in names if (column := _column(vectorizer, name)) is not None]


def _column(fitted: "TableVectorizer", name: str) -> Column | None:
    holds = {
        "numeric": "number",
        "datetime": "date",
        "low_cardinality": "category",
        "high_cardinality": "text",
    }
    kind = next((kind for kind, names in fitted.kind_to_columns_.items() if name in names), "")
    steps: dict[str, Any] = {type(step).__name__: step for step in fitted.all_processing_steps_[name]}
    if kind not in holds:
        return None
    if kind == "datetime":
        return Column(name, "date", format=steps["ToDatetime"].format_)
    if kind == "low_cardinality":
        values = [str(value) for value in steps["OneHotEncoder"].categories_[0] if value is not None]
        return Column(name, "category", values=tuple(values))
    return Column(name, holds[kind])  # type: ignore[arg-type]


KIND = ColumnsKind()
