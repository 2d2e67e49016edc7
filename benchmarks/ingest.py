"""A million rows of 100 words collected and refined, then 1% more of them, beside polars reading the same file bare.

python benchmarks/ingest.py [ROWS]
"""

import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from lifeloop.core.brief import parse_brief
from lifeloop.core.data import Dataset
from lifeloop.lifecycle.refined import reading_of, refined_dataset
from lifeloop.lifecycle.runner import Notice, Runner
from lifeloop.project import Project
from lifeloop.stages import collect
from lifeloop.store.ledger import CycleRow

ROWS = 1_000_000
WORDS = 100
GROWTH = 0.01

BRIEF = """
[project]
name = "ingest"
task = "classify"
[data]
source = "rows.csv"
[[objectives]]
metric = "accuracy"
target = 0.9
[candidates.majority]
kind = "majority"
"""


def main() -> None:
    """Print seconds and rows a second of the first version and of the one with 1% more rows, and the peak memory."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    more = max(1, int(n * GROWTH))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = Project(folder, parse_brief(BRIEF), BRIEF, {}, f"sqlite:///{folder}/ledger.db", f"{folder}/vault")
        chance = random.Random(0)
        write(folder / "rows.csv", n, chance)
        begun = time.perf_counter()
        pl.scan_csv(folder / "rows.csv").select(pl.all().str.len_chars().sum()).collect()
        bare = time.perf_counter() - begun
        begun_with = processor()
        first, dataset = version(project, 1)
        spent = processor()
        write(folder / "rows.csv", more, chance)
        written = processor()
        again, grown = version(project, 2)
        of_a_core = (processor() - written) / (spent - begun_with)
    shared = len({part.raw for part in dataset.parts} & {part.raw for part in grown.parts})
    print(f"rows                     {n:14,} of {WORDS} words, one in twenty a repeat")
    print(f"polars, bare read        {n / bare:14,.0f} rows a second")
    print(f"first version            {n / first:14,.0f} rows a second: {first:.1f} s; kept {dataset.n_examples:,}")
    print(f"with {more:,} rows more {again:17.1f} s, {again / first:.1%} of the first; kept {grown.n_examples:,}")
    print(f"of processor time        {of_a_core:14.1%} of the first's")
    print(f"parts shared             {shared:14} of {len(dataset.parts)}")
    print(f"peak memory              {peak():14,.0f} MB, without the processes that examine")


def version(project: Project, cycle: int) -> tuple[float, Dataset]:
    """Return the seconds that the next version of the dataset takes, and the version."""
    begun = time.perf_counter()
    ledger = project.open_ledger()
    runner = Runner(ledger, project.open_vault(), cycle, told, time.time)
    source = collect.fingerprint(reading_of(project))
    row = CycleRow(cycle, f"inputs {cycle}", "brief", 0, time.time())
    dataset = refined_dataset(project, runner, row, source).value
    ledger.close()
    return time.perf_counter() - begun, dataset


def told(notice: Notice) -> None:
    """Print how long each stage took."""
    if notice.kind == "done":
        print(f"  {notice.stage:22} {notice.seconds:16.1f} s", flush=True)


def processor() -> float:
    """Return the seconds of processor time so far, of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def peak() -> float:
    """Return the peak memory of this process in MB. What the system says of children holds their parent's as well."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(path: Path, n: int, chance: random.Random) -> None:
    """Append rows, after a header where there is none: one in twenty is a repeat."""
    syllables = [f"{consonant}{vowel}" for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    vocabulary = [f"{one}{two}{three}" for one in syllables for two in syllables for three in ("", "ra", "tel")]
    texts: list[str] = []
    with path.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write("text,label\n")
        for _ in range(n):
            repeat = texts and chance.random() < 0.05
            text = chance.choice(texts) if repeat else " ".join(chance.choices(vocabulary, k=WORDS))
            texts = [*texts[-500:], text]
            file.write(f"{text},label{len(text) % 7}\n")


if __name__ == "__main__":
    main()
