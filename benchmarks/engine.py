"""Overhead of the trial engine: our loop with its journal, beside the bare call of the same model, in one run.

python benchmarks/engine.py
"""

import tempfile
import time
from pathlib import Path

from lifeloop.core.candidates import Request
from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.models.majority import Majority
from lifeloop.stages.trial import Said, answer_all
from lifeloop.store.journal import Journal

N = 20_000
REPEATS = 5


def main() -> None:
    """Print both times and their difference a sample."""
    model = Majority("sport", 0.5)
    examples = [Example(id=str(n), input=f"text {n}", reference="sport", group=str(n)) for n in range(N)]
    bare = min(timed(lambda: [model.answer([Request(text=e.input)]) for e in examples]) for _ in range(REPEATS))
    ours, cached = float("inf"), float("inf")
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(REPEATS):
            path = Path(folder) / f"{repeat}.jsonl"
            ours = min(ours, timed(lambda: answer_all(model, examples, "classify", path, silent)))  # noqa: B023
            cached = min(cached, timed(lambda: answer_all(model, examples, "classify", path, silent)))  # noqa: B023
        with Journal(path, Said) as journal:
            assert len(journal.read()) == N, "every answer is in the journal"
    print(f"bare calls            {1e6 * bare / N:8.2f} µs a sample")
    print(f"engine with journal   {1e6 * ours / N:8.2f} µs a sample ({ours / bare:.1f} times the bare calls)")
    print(f"engine, all journaled {1e6 * cached / N:8.2f} µs a sample")


def timed(work: object) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
