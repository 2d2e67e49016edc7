"""Near duplicates among a million rows of 100 words, a fifth of them planted, beside `datasketch` on some of them.

python benchmarks/near_duplicates.py [ROWS] [--peer-rows N] [--peers PYTHON] [--workers N]

Each search runs in a process of its own, so that its peak memory is its own. datasketch takes hours for a million rows;
it is timed on the first `--peer-rows` and scaled by rows a second, which favours it: its index grows with the rows.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROWS = 1_000_000
PEER_ROWS = 50_000
WORDS = 100
PLANTED = 0.2
SIMILARITY = 0.8
PART = 20_000
SEED = 0


def main() -> None:
    """Write the rows, search them with ours and with the peer, and print what each cost and found."""
    arguments = parsed()
    if arguments.search:
        print(json.dumps(SEARCHES[arguments.search](Path(arguments.folder), arguments.rows, arguments.workers)))
        return
    peer_rows = min(arguments.peer_rows or arguments.rows, arguments.rows)
    with tempfile.TemporaryDirectory() as name:
        searched("write", sys.executable, name, arguments.rows, 1)
        ours = searched("ours", sys.executable, name, arguments.rows, arguments.workers)
        peer = searched("datasketch", arguments.peers, name, peer_rows, 1)
    print(f"{arguments.rows:,} rows of {WORDS} words, {PLANTED:.0%} of them copies with 1 to 10% of the words edited")
    for title, found, rows in (("ours", ours, arguments.rows), ("datasketch", peer, peer_rows)):
        print(
            f"  {title:11} {rows:10,} rows in {found['seconds']:7.1f} s: {rows / found['seconds']:9,.0f} rows a second,"
            f" {found['cpu']:.1f} s of a core, peak {found['mb']:,.0f} MB,"
            f" recall {found['recall']:.2%}, precision {found['precision']:.2%}"
        )
    print("  ours, of that: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in ours["steps"].items()))
    times, less = ((peer[of] / peer_rows) / (ours[of] / arguments.rows) for of in ("seconds", "cpu"))
    scaled = "" if peer_rows == arguments.rows else f"; datasketch scaled from {peer_rows:,} rows by rows a second"
    print(f"  ours is {times:.1f} times as fast, and takes {less:.1f} times less of a core{scaled}")


def parsed() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="?", default=ROWS)
    parser.add_argument("--peer-rows", type=int, default=PEER_ROWS, help="rows for datasketch; 0 for all")
    parser.add_argument("--peers", default=".venv/peers/bin/python", help="a Python that has datasketch")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that make sketches")
    parser.add_argument("--search", choices=sorted(SEARCHES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def this(python: str) -> list[str]:
    """Return the command that runs this file."""
    return [python, str(Path(__file__).resolve())]


def of(folder: str, rows: int, workers: int) -> list[str]:
    """Return the arguments of a search."""
    return ["--folder", folder, str(rows), "--workers", str(workers)]


def searched(name: str, python: str, folder: str, rows: int, workers: int) -> dict[str, float]:
    """Return what a search printed: seconds, mb, recall and precision."""
    command = [*this(python), "--search", name, *of(folder, rows, workers)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def write(folder: Path, n: int, workers: int) -> None:
    """Write the rows in parts, one line each, and the planted pairs: place of the copy, of the original, similarity."""
    chance = random.Random(SEED)
    vocabulary = [f"{a}{b}{number}" for number in range(700) for a in "bdfgklmnprstvz" for b in "aeiou"]
    weights = [1 / (rank + 20) for rank in range(len(vocabulary))]  # as words are used: few often, most seldom
    bounds: list[float] = []
    for weight in weights:
        bounds.append(weight + (bounds[-1] if bounds else 0.0))
    recent: list[tuple[int, list[str]]] = []
    with (folder / "planted.tsv").open("w") as planted:
        for start in range(0, n, PART):
            lines = []
            for row in range(start, min(start + PART, n)):
                if recent and chance.random() < PLANTED:
                    place, original = chance.choice(recent)
                    words = edited(original, chance, vocabulary, bounds)
                    planted.write(f"{row}\t{place}\t{jaccard(set(words), set(original))}\n")
                else:
                    words = chance.choices(vocabulary, cum_weights=bounds, k=WORDS)
                    recent = [*recent[-4000:], (row, words)] if row % 2 else recent
                lines.append(" ".join(words))
            (folder / f"{start:09}.txt").write_text("\n".join(lines))


def edited(words: list[str], chance: random.Random, vocabulary: list[str], bounds: list[float]) -> list[str]:
    """Return the words with 1 to 10% of them replaced, left out, put in or swapped with the next."""
    words = list(words)
    for _ in range(chance.randint(1, WORDS // 10)):
        at, kind = chance.randrange(len(words) - 1), chance.random()
        new = chance.choices(vocabulary, cum_weights=bounds)[0]
        if kind < 0.55:
            words[at] = new
        elif kind < 0.7:
            words.insert(at, new)
        elif kind < 0.85:
            del words[at]
        else:
            words[at], words[at + 1] = words[at + 1], words[at]
    return words


def jaccard(one: set[str], other: set[str]) -> float:
    """Return the Jaccard similarity of two sets."""
    return len(one & other) / len(one | other)


def ours(folder: Path, n: int, workers: int) -> dict[str, object]:
    """Search with what the guard uses: sketches of each part in processes, then pairs of all, reading texts by part."""
    import numpy as np
    import polars as pl

    from lifeloop.core.content import normalise
    from lifeloop.guards.near.candidates import Asked
    from lifeloop.guards.near.pairs import near_pairs

    begun = time.perf_counter()
    paths = parts(folder, n)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        sketch = pl.concat(list(pool.map(part_sketches, paths)))
    sketched = time.perf_counter()

    def texts(places: np.ndarray) -> list[str]:
        found: list[str] = []
        for index, path in enumerate(paths):
            own = places[np.searchsorted(places, index * PART) : np.searchsorted(places, (index + 1) * PART)]
            if len(own):
                lines = path.read_text().split("\n")
                found += [normalise(lines[place - index * PART]) for place in own]
        return found

    def kinds(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.ones(len(left), dtype=np.int8)

    pairs = near_pairs(sketch, Asked(SIMILARITY, np.arange(n), kinds, texts))
    seconds = time.perf_counter() - begun
    used = {"mb": peak_mb(workers), "cpu": cpu_seconds()}
    codes = {(int(left), int(right)) for left, right in zip(pairs.left, pairs.right, strict=True)}
    steps = {"sketches": sketched - begun, "pairs": seconds - (sketched - begun)}
    return {"seconds": seconds, **used, "steps": steps, **quality(folder, n, codes)}


def part_sketches(path: Path) -> Any:
    """Return the sketches of a part's texts."""
    from lifeloop.core.content import normalise
    from lifeloop.guards.near.sketch import sketches

    return sketches([normalise(text) for text in path.read_text().split("\n")])


def peer(folder: Path, n: int, workers: int) -> dict[str, object]:
    """Search with datasketch as its documentation has it, in bulk where it can, keeping pairs by its own estimate."""
    from datasketch import MinHash, MinHashLSH

    begun = time.perf_counter()
    index = MinHashLSH(threshold=SIMILARITY, num_perm=128)
    made = []
    codes = set()
    for path in parts(folder, n):
        lines = path.read_text().split("\n")[: n - len(made)]
        for sketch in MinHash.generator(([word.encode() for word in line.split(" ")] for line in lines), num_perm=128):
            place = len(made)
            found = [other for other in index.query(sketch) if made[other].jaccard(sketch) >= SIMILARITY]
            codes.update((other, place) for other in found)
            index.insert(place, sketch, check_duplication=False)
            made.append(sketch)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "mb": peak_mb(0), "cpu": cpu_seconds(), **quality(folder, n, codes)}


def parts(folder: Path, n: int) -> list[Path]:
    """Return the files of the first n rows."""
    return sorted(folder.glob("*.txt"))[: -(-n // PART)]


def peak_mb(workers: int) -> float:
    """Return the peak memory of this process, and of as many workers as there are at once, in MB."""
    own, worker = (resource.getrusage(of).ru_maxrss for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + workers * worker) / 1024


def cpu_seconds() -> float:
    """Return the seconds that this process and its workers kept a core busy, from their start."""
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def quality(folder: Path, n: int, found: set[tuple[int, int]]) -> dict[str, float]:
    """Return the share of planted pairs at SIMILARITY that were found, and of those found that are so similar."""
    planted = {}
    for line in (folder / "planted.tsv").read_text().splitlines():
        copy, original, similarity = line.split("\t")
        if int(copy) < n:
            planted[int(original), int(copy)] = float(similarity)
    true = {pair for pair, similarity in planted.items() if similarity >= SIMILARITY}
    needed: dict[int, set[str]] = {place: set() for pair in found for place in pair if pair not in planted}
    for index, path in enumerate(parts(folder, n)):
        own = [place for place in range(index * PART, (index + 1) * PART) if place in needed]
        lines = path.read_text().split("\n") if own else []
        needed.update((place, set(lines[place - index * PART].split(" "))) for place in own)
    right = sum(
        (planted[pair] if pair in planted else jaccard(needed[pair[0]], needed[pair[1]])) >= SIMILARITY
        for pair in found
    )
    return {"recall": len(true & found) / max(len(true), 1), "precision": right / max(len(found), 1), "n": len(found)}


SEARCHES = {"write": write, "ours": ours, "datasketch": peer}

if __name__ == "__main__":
    main()
