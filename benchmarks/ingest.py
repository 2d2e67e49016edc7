"""Collecting and refining 200,000 CSV rows, beside polars reading the same file bare, in one run.

python benchmarks/ingest.py
"""

import random
import resource
import tempfile
import time
from pathlib import Path

import polars as pl

from lifeloop.core.brief import Data
from lifeloop.stages.collect import collect
from lifeloop.stages.refine import refine
from lifeloop.store.tables import RAW_SCHEMA

N = 200_000
WORDS = 20


def main() -> None:
    """Print rows a second of both, and the peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder))
        begun = time.perf_counter()
        height = pl.read_csv(path).height
        bare = time.perf_counter() - begun
        data = Data(source=path.name)
        begun = time.perf_counter()
        raw = collect(data, path.parent, pl.DataFrame(schema=RAW_SCHEMA))
        collected = time.perf_counter() - begun
        begun = time.perf_counter()
        refined = refine(raw, data, "classify")
        refining = time.perf_counter() - begun
    kept = sum(table.height for table in refined.splits.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"polars, bare read     {height / bare:12,.0f} rows a second")
    print(f"collect               {N / collected:12,.0f} rows a second ({collected / bare:.1f} times the bare read)")
    print(f"refine                {N / refining:12,.0f} rows a second; kept {kept:,} of {N:,}")
    print(f"peak memory           {peak:12,.0f} MB")


def write(folder: Path) -> Path:
    """Write the rows: one in twenty is a repeat."""
    chance = random.Random(0)
    vocabulary = [f"word{n}" for n in range(5000)]
    path = folder / "rows.csv"
    texts: list[str] = []
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for _ in range(N):
            repeat = texts and chance.random() < 0.05
            text = chance.choice(texts[-1000:]) if repeat else " ".join(chance.choices(vocabulary, k=WORDS))
            texts.append(text)
            file.write(f"{text},label{sum(map(len, text.split())) % 7}\n")
    return path


if __name__ == "__main__":
    main()
