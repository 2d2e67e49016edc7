"""The same rows as each format writes them, for any source to be held to."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl

from lifeloop.core.brief import Data

Writer = Callable[[Path, list[tuple[str, str]]], Data]


def rows(n: int) -> list[tuple[str, str]]:
    """Return n texts and labels, each text another."""
    return [(f"text number {number}", "ab"[number % 2]) for number in range(n)]


def as_csv(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    lines = "".join(f'"{text}",{label}\n' for text, label in pairs)
    return _text(folder, "rows.csv", f"text,label\n{lines}")


def as_tsv(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    return _text(folder, "rows.tsv", "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in pairs))


def as_jsonl(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    return _jsonl(folder, [{"text": text, "label": label} for text, label in pairs])


def as_json(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    return _text(folder, "rows.json", json.dumps([{"text": text, "label": label} for text, label in pairs], indent=1))


def as_messages(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    turns = [[{"role": "user", "content": text}, {"role": "assistant", "content": label}] for text, label in pairs]
    return _jsonl(folder, [{"messages": each} for each in turns], "messages")


def as_sharegpt(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    turns = [[{"from": "human", "value": text}, {"from": "gpt", "value": label}] for text, label in pairs]
    return _jsonl(folder, [{"conversations": each} for each in turns], "sharegpt")


def as_alpaca(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    return _jsonl(folder, [{"instruction": text, "input": "", "output": label} for text, label in pairs], "alpaca")


def as_preference(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    values = [{"prompt": text, "chosen": label, "rejected": "no"} for text, label in pairs]
    return _jsonl(folder, values, "preference")


def as_parquet(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    pl.DataFrame(pairs, schema=["text", "label"], orient="row").write_parquet(folder / "rows.parquet")
    return Data(source="rows.parquet")


def as_excel(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    book = openpyxl.Workbook()
    for row in [("text", "label"), *pairs]:
        book.active.append(row)
    book.save(folder / "rows.xlsx")
    return Data(source="rows.xlsx")


def as_conll(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    blocks = ["\n".join(f"{token}\tO" for token in text.split()) for text, _ in pairs]
    return _text(folder, "rows.conll", "\n\n".join(blocks) + "\n")


def as_folder(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    (folder / "texts").mkdir(exist_ok=True)
    for number, (text, label) in enumerate(pairs):
        _text(folder, f"texts/{label}/{number:04}.txt", text)
    return Data(source="texts")


def as_sql(folder: Path, pairs: list[tuple[str, str]]) -> Data:
    with closing(sqlite3.connect(folder / "rows.db")) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS rows (text TEXT, label TEXT)")
        database.execute("DELETE FROM rows")
        database.executemany("INSERT INTO rows VALUES (?, ?)", pairs)
    return Data(source="sqlite:///rows.db", query="SELECT text, label FROM rows ORDER BY rowid")


WRITERS: dict[str, Writer] = {
    "csv": as_csv,
    "tsv": as_tsv,
    "jsonl": as_jsonl,
    "json": as_json,
    "messages": as_messages,
    "sharegpt": as_sharegpt,
    "alpaca": as_alpaca,
    "preference": as_preference,
    "parquet": as_parquet,
    "excel": as_excel,
    "conll": as_conll,
    "folder": as_folder,
    "sql": as_sql,
}


GROWING = ("csv", "tsv", "jsonl", "messages", "sharegpt", "alpaca", "preference", "conll")
"""Formats of files that more rows are written at the end of: reading them goes on where it stopped."""


def _text(folder: Path, name: str, content: str) -> Data:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return Data(source=name)


def _jsonl(folder: Path, values: list[dict[str, Any]], format: str = "auto") -> Data:
    _text(folder, "rows.jsonl", "".join(json.dumps(value) + "\n" for value in values))
    return Data(source="rows.jsonl", format=format)
