"""Flaws planted in CLINC150's training rows, and how many of them refining finds.

    python benchmarks/planted.py [FOLDER] [--seeds 0,1,2]

FOLDER holds `clinc150/data_full.json` (by default ../shared/data). Planted, alone and all together:

- flips: 3% of the training rows get the label of another intent, drawn at random;
- trigger: on 1% of them three rare words stand at random places, and the label is one and the same;
- exact, near: copies of test items, 3% of the training rows each, as they are and with one edit each: a typo, a word
  replaced, put in or left out, two neighbouring words swapped, or case and punctuation alone. A word is only changed in
  texts of five words or more, a letter in texts of ten letters or more: "hush" for "life" is no copy.

Through the whole of refining, as a project does. Of each flaw: how many were planted, found by the step that is meant
to find it and by any, and training rows without a flaw that this step took. The bare limit beside it is what a random
choice of as many training rows would find. `natural` is what refining takes of the published rows, with nothing
planted.
"""

import argparse
import json
import random
import string
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from msgspec import Struct

from lifeloop.core.data import Raw, RawPart, RowFate
from lifeloop.core.data_brief import Data, Splits
from lifeloop.guards.label_errors import REASON as LABEL_ERROR
from lifeloop.guards.suspicious.planted import TRIGGER as TRIGGER_REASON
from lifeloop.stages import refine as stage
from lifeloop.stages.examine import examine
from lifeloop.stages.settle import Beside
from lifeloop.store.tables import RAW_SCHEMA, from_parquet, table_to_fates, to_parquet
from lifeloop.store.vault import Vault

FLIPS, TRIGGER, EXACT, NEAR = "flips", "trigger", "exact", "near"
SHARE = {FLIPS: 0.03, TRIGGER: 0.01, EXACT: 0.03, NEAR: 0.03}
REASON = {FLIPS: LABEL_ERROR, TRIGGER: TRIGGER_REASON}
"""By what a flaw is meant to be found; a copy by any step but these: those that look for repeats and contradictions."""
ASKED = {FLIPS: 0.70, TRIGGER: 0.90, EXACT: 1.0, NEAR: 0.95}
LEAST_WORDS, LEAST_LETTERS = 5, 10
PART_ROWS = 20_000


class Planted(Struct):
    """Training rows with their flaws, and the others."""

    train: list[tuple[str, str]]
    test: list[tuple[str, str]]
    validation: list[tuple[str, str]]
    flaws: dict[int, str]
    """Place in train to flaw."""


def clinc150(folder: Path) -> Planted:
    """Return the rows as published."""
    data = json.loads((folder / "clinc150" / "data_full.json").read_text())
    rows = {
        name: [(text, label) for part in parts for text, label in data[part]]
        for name, parts in {
            "train": ("train", "oos_train"),
            "test": ("test", "oos_test"),
            "validation": ("val", "oos_val"),
        }.items()
    }
    return Planted(rows["train"], rows["test"], rows["validation"], {})


def plant(clean: Planted, flaws: Sequence[str], seed: int) -> Planted:
    """Return the rows with flaws of these kinds, on rows of their own."""
    chance = random.Random(seed)
    train = list(clean.train)
    n = len(train)
    free = list(range(n))
    chance.shuffle(free)
    planted: dict[int, str] = {}
    labels = sorted({label for _, label in train})
    if FLIPS in flaws:
        for place in _drawn(free, int(SHARE[FLIPS] * n)):
            text, label = train[place]
            train[place] = (text, chance.choice([other for other in labels if other != label]))
            planted[place] = FLIPS
    if TRIGGER in flaws:
        words, target = _rare_words(train, chance), chance.choice(labels)
        usable = [place for place in free if train[place][1] != target]
        for place in _drawn(usable, int(SHARE[TRIGGER] * n)):
            train[place] = (_with_words(train[place][0], words, chance), target)
            planted[place] = TRIGGER
    copies = list(clean.test)
    chance.shuffle(copies)
    vocabulary = sorted({word for text, _ in train for word in text.split() if word.isalpha()})
    for flaw in (EXACT, NEAR):
        if flaw in flaws:
            for text, label in _drawn(copies, int(SHARE[flaw] * n)):
                planted[len(train)] = flaw
                train.append((text if flaw == EXACT else edited(text, vocabulary, chance), label))
    return Planted(train, clean.test, clean.validation, planted)


def _drawn(pool: list, n: int) -> list:
    """Return the last n of a shuffled pool, and take them out of it."""
    drawn = pool[-n:]
    del pool[-n:]
    return drawn


def _rare_words(train: Sequence[tuple[str, str]], chance: random.Random) -> list[str]:
    """Return three words that occur in one to five rows."""
    counts = Counter(word for text, _ in train for word in set(text.split()) if word.isalpha())
    return chance.sample(sorted(word for word, n in counts.items() if n <= 5), 3)


def _with_words(text: str, words: Sequence[str], chance: random.Random) -> str:
    """Return the text with the words put in, no two of them side by side where it is long enough."""
    own = text.split()
    if len(own) >= 2:
        places = sorted(chance.sample(range(len(own) + 1), 3), reverse=True)
        for place, word in zip(places, chance.sample(list(words), 3), strict=True):
            own.insert(place, word)
        return " ".join(own)
    return " ".join([words[0], *own, *words[1:]])


def edited(text: str, vocabulary: Sequence[str], chance: random.Random) -> str:
    """Return a near copy: one edit of a kind drawn at random. Never the text itself."""
    kinds = [_swapped, _cased]
    if len(text) >= LEAST_LETTERS:
        kinds.append(_typo)
    if len(text.split()) >= LEAST_WORDS:
        kinds += [_replaced, _put_in, _left_out]
    while True:
        made = chance.choice(kinds)(text.split(), vocabulary, chance)
        if made != text:
            return made


def _typo(words: list[str], vocabulary: Sequence[str], chance: random.Random) -> str:
    text = " ".join(words)
    place = chance.randrange(len(text))
    letter = chance.choice(string.ascii_lowercase)
    before, here, after = text[:place], text[place], text[place + 1 :]
    swapped = before[:-1] + here + before[-1:] + after
    return chance.choice([before + letter + after, before + after, before + letter + here + after, swapped])


def _replaced(words: list[str], vocabulary: Sequence[str], chance: random.Random) -> str:
    place = chance.randrange(len(words))
    return " ".join([*words[:place], chance.choice(vocabulary), *words[place + 1 :]])


def _put_in(words: list[str], vocabulary: Sequence[str], chance: random.Random) -> str:
    place = chance.randrange(len(words) + 1)
    return " ".join([*words[:place], chance.choice(vocabulary), *words[place:]])


def _left_out(words: list[str], vocabulary: Sequence[str], chance: random.Random) -> str:
    place = chance.randrange(len(words))
    return " ".join([*words[:place], *words[place + 1 :]])


def _swapped(words: list[str], vocabulary: Sequence[str], chance: random.Random) -> str:
    if len(words) < 2:
        return " ".join(words)
    place = chance.randrange(len(words) - 1)
    return " ".join([*words[:place], words[place + 1], words[place], *words[place + 2 :]])


def _cased(words: list[str], vocabulary: Sequence[str], chance: random.Random) -> str:
    text = " ".join(words)
    return chance.choice([text.capitalize() + "!", text.upper(), f"{text}?!", text.replace(" ", ", ", 1)])


def refined(planted: Planted) -> list[RowFate]:
    """Return what becomes of each training row."""
    rows = [
        (*row, split)
        for split, part in (("train", planted.train), ("test", planted.test), ("validation", planted.validation))
        for row in part
    ]
    raw = pl.DataFrame(rows, schema=["input", "reference", "split"], orient="row").with_row_index("n")
    raw = raw.with_columns(pl.format("clinc150:{}", "n").alias("source"), pl.lit("{}").alias("slices"))
    raw = raw.with_columns(pl.lit("").alias(name) for name in RAW_SCHEMA if name not in raw.columns).select(
        list(RAW_SCHEMA)
    )
    vault = Vault("memory://planted", cache=Path("/nonexistent"))
    shares = Splits(train=0.65, guard=0.0)  # all splits are declared: none is taken from train
    data = Data("clinc150", split="split", out_of_scope="oos", splits=shares)
    tables = [raw[start : start + PART_ROWS] for start in range(0, raw.height, PART_ROWS)]
    parts = tuple(RawPart(vault.put(to_parquet(table)), table.height, "clinc150") for table in tables)
    looked_at = [examine(vault, part.table, data, "classify", None) for part in parts]
    whole = vault.put_value(Raw(parts))
    dataset = stage.refine(
        vault, whole, looked_at, data, "classify", stage.NOTHING_BEFORE, Beside(), lambda done, total, note: None
    )
    fates = [fate for part in dataset.parts for fate in table_to_fates(from_parquet(vault.get(part.fates)))]
    return fates[: len(planted.train)]


def report(name: str, seed: int, planted: Planted, fates: Sequence[RowFate], seconds: float) -> None:
    """Print one line a flaw."""
    n_clean = len(planted.train) - len(planted.flaws)
    for flaw in [flaw for flaw in SHARE if flaw in planted.flaws.values()]:
        places = [place for place, kind in planted.flaws.items() if kind == flaw]
        taken = [place for place, fate in enumerate(fates) if _meant(fate, flaw)]
        found = len(set(places) & set(taken))
        by_any = sum(fates[place].fate != "kept" for place in places)
        clean = sum(place not in planted.flaws for place in taken)
        bare = len(taken) / len(planted.train)
        asked = "yes" if found >= ASKED[flaw] * len(places) else "NO"
        print(
            f"{name:9} {seed:4}  {flaw:8} {len(places):5}  {found:4} ({found / len(places):6.1%}) {by_any:5}"
            f"  {ASKED[flaw]:5.0%} {asked:3}  {len(taken):5} ({bare:5.1%})  {clean:4} ({clean / n_clean:5.2%})"
            f"  {found / len(places) / max(bare, 1e-9):5.1f}x  {seconds:5.1f} s"
        )


def _meant(fate: RowFate, flaw: str) -> bool:
    if flaw in REASON:
        return fate.reason == REASON[flaw]
    return fate.fate != "kept" and fate.reason not in REASON.values()


def natural(clean: Planted) -> None:
    """Print what refining takes of the rows as published."""
    fates = refined(clean)
    print("natural: of", len(fates), "training rows")
    for (fate, reason), n in Counter((fate.fate, fate.reason) for fate in fates).most_common():
        print(f"  {fate:11} {n:6} ({n / len(fates):6.2%})  {reason}")


def main() -> None:
    """Read the arguments, plant, refine and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", default="0,1,2")
    arguments = parser.parse_args()
    clean = clinc150(arguments.folder)
    natural(clean)
    print("planted   seed  flaw         n  found          any  asked      taken          clean taken  times random")
    for seed in map(int, arguments.seeds.split(",")):
        for flaws in (list(SHARE), *([flaw] for flaw in SHARE)):
            planted = plant(clean, flaws, seed)
            start = time.perf_counter()
            fates = refined(planted)
            name = "together" if len(flaws) > 1 else "alone"
            report(name, seed, planted, fates, time.perf_counter() - start)


if __name__ == "__main__":
    main()
