"""Overhead of the trial engine a sample, durable results included, beside bare loops and peers, all in one run.

python benchmarks/engine.py [--peers PYTHON] [--quick]

The engine is what runs a trial but for its statistics: it reads the examples, asks, keeps every answer in the cache,
and writes the table of answers. A whole trial also scores them, and resamples for the intervals of every metric, which
takes about a second whatever the number of examples. Peers are measured by PYTHON, an interpreter of an environment
that has inspect-ai and openai (python -m venv peers; peers/bin/pip install inspect-ai openai).
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiohttp
import msgspec
import uvloop
from msgspec import Struct

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.content import Id
from lifeloop.core.data import SPLITS, Dataset, Example
from lifeloop.core.evidence import Trial
from lifeloop.core.progress import silent
from lifeloop.engine.answering import Answering, Context
from lifeloop.engine.heard import Heard
from lifeloop.engine.members import Purse, load
from lifeloop.engine.spending import Meter
from lifeloop.engine.trial import CLEAN, Allowance, TrialOrder, Workplace, answered, run_trial, subject_of
from lifeloop.execution import run_isolated
from lifeloop.models.answering_id import answering_id
from lifeloop.models.majority import FILE, Majority
from lifeloop.models.remote import Settings
from lifeloop.store.responses import Responses
from lifeloop.store.tables import examples_to_table, to_parquet
from lifeloop.store.vault import Vault
from stub_endpoint import count, serving

LOCAL, HTTP, SLOW, MANY = 20_000, 5_000, 12_800, 500_000
CONCURRENCY, LATENCY, LONE = 64, 0.05, 40
LABELS = ("business", "sport")


class Bench:
    """A vault with a data set of `n` examples, and candidates to try on it."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder = folder
        self.vault = Vault(str(folder / "vault"), cache=folder / "cache")
        none = to_parquet(examples_to_table([]))
        tables = {split: self.vault.put(none) for split in SPLITS} | {"test": self.vault.put(_table(n))}
        counts = dict.fromkeys(SPLITS, 0) | {"test": n}
        self.dataset = self.vault.put_value(Dataset(tables, counts, LABELS, raw="", fates="", findings=()))
        self._places = itertools.count()

    def majority(self) -> Id:
        made = self.folder / "made"
        made.mkdir(exist_ok=True)
        (made / FILE).write_bytes(msgspec.json.encode(("sport", 0.5)))
        return self._candidate("majority", {}, self.vault.put_folder(made))

    def remote(self, url: str, concurrency: int) -> Id:
        settings = Settings(url=url, model="m", concurrency=concurrency)
        return self._candidate("remote", msgspec.to_builtins(settings), "")

    def _candidate(self, kind: str, settings: dict[str, object], files: Id) -> Id:
        return self.vault.put_value(Candidate(kind, kind, "classify", LABELS, settings, files=files))

    def order(self, candidate: Id) -> TrialOrder:
        return TrialOrder(candidate, self.dataset, "test", CLEAN, 0, "", 0.95, 0.1, 0)

    def workplace(self) -> Workplace:
        """Return a place whose cache is empty."""
        return Workplace(self.folder / f"responses-{next(self._places)}.sqlite", self.folder, 1, Allowance())

    def run(self, candidate: Id, workplace: Workplace) -> Trial:
        """Run a whole trial."""
        return run_trial(self.vault, self.order(candidate), workplace, progress=silent)

    def ask(self, candidate: Id, workplace: Workplace) -> None:
        """Run the engine alone."""
        order = self.order(candidate)
        subject, meter = subject_of(self.vault, order), Meter(workplace.allowance)
        heard = Heard(subject.repeats)
        with Responses(workplace.responses) as responses:
            purse = Purse(responses, meter, workplace.cycle, subject.repeats)
            whom = answering_id(self.vault, candidate)
            context = Context(purse, whom, lambda: load(self.vault, candidate, purse), subject.table.height, silent)
            with closing(Answering(context)) as answering:
                for _ in answered(answering, order, subject, heard):
                    pass
        self.vault.put(to_parquet(heard.table()))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", default=sys.executable, help="interpreter that has inspect-ai")
    parser.add_argument("--quick", action="store_true", help="without the half million and the peers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = http(Path(folder) / "http")
        in_process(Path(folder) / "local")
        slow(Path(folder) / "slow")
        killed(Path(folder) / "killed")
        if not options.quick:
            peers(options.peers, ours)
            memory(Path(folder) / "many")


def in_process(folder: Path) -> None:
    """Print what a model costs that answers at once."""
    bench = Bench(folder, LOCAL)
    model, candidate = Majority("sport", 0.5), bench.majority()
    texts = [Request(text=_text(n)) for n in range(LOCAL)]
    line("in process: bare calls of the model", timed(lambda: [model.answer([text]) for text in texts]), LOCAL)
    bench.ask(candidate, bench.workplace())  # imports and plug-ins are loaded once a process
    place = bench.workplace()
    line("in process: the engine", timed(lambda: bench.ask(candidate, place)), LOCAL, bound=0.1)
    line("in process: the same from the cache", timed(lambda: bench.ask(candidate, place)), LOCAL, bound=0.03)
    line("in process: a whole trial from the cache", timed(lambda: bench.run(candidate, place)), LOCAL)


def http(folder: Path) -> float:
    """Print what an endpoint without latency costs. Returns our milliseconds a sample."""
    bench = Bench(folder, HTTP)
    with serving() as url:
        bare = timed(lambda: uvloop.run(floor(url, HTTP, folder / "floor.sqlite", CONCURRENCY)))
        line(f"endpoint, no latency: bare aiohttp and SQLite, {CONCURRENCY} at once", bare, HTTP)
        candidate, place = bench.remote(url, CONCURRENCY), bench.workplace()
        bench.ask(bench.remote(url, 8), bench.workplace())
        took = timed(lambda: bench.ask(candidate, place))
        line(f"endpoint, no latency: the engine, {CONCURRENCY} at once", took, HTTP, bound=0.5)
        line("endpoint: the same from the cache", timed(lambda: bench.ask(candidate, place)), HTTP, bound=0.03)
        whole = timed(lambda: bench.run(candidate, bench.workplace()))
        line("endpoint, no latency: a whole trial", whole, HTTP)
    return 1000 * whole.wall / HTTP


async def floor(url: str, n: int, path: Path, concurrency: int) -> None:
    """The least that such a loop can be: post, keep in SQLite, nothing else."""
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": _text(0)}]})
    kept = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        kept.execute(f"PRAGMA {pragma}")
    kept.execute("CREATE TABLE responses (key INTEGER PRIMARY KEY, value BLOB)")
    numbers = iter(range(n))

    async def work(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            async with session.post(f"{url}/chat/completions", data=body) as reply:
                kept.execute("INSERT INTO responses VALUES (?, ?)", (number, await reply.read()))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(work(session) for _ in range(concurrency)))
    kept.close()


def slow(folder: Path) -> None:
    """Print the throughput at a latency, as a share of the ideal: ours is to reach 95%.

    The ideal is what as many lone clients would reach: one request alone is timed first, since the endpoint's timer and
    the way there and back take their part.
    """
    bench = Bench(folder, SLOW)
    with serving(LATENCY) as url:
        alone = timed(lambda: uvloop.run(floor(url, LONE, folder / "alone.sqlite", 1))).wall / LONE
        print(f"{f'endpoint, {1000 * LATENCY:.0f} ms latency: one request alone':<58}{1000 * alone:9.4f} ms")
        bare = timed(lambda: uvloop.run(floor(url, SLOW, folder / "floor.sqlite", CONCURRENCY)))
        share_of_ideal("bare aiohttp and SQLite", bare, alone)
        candidate, place = bench.remote(url, CONCURRENCY), bench.workplace()
        took = timed(lambda: bench.ask(candidate, place))
        share_of_ideal("the engine", took, alone)


def killed(folder: Path) -> None:
    """Print what a SIGKILL in the middle costs, counted at the endpoint."""
    bench = Bench(folder, HTTP)
    with serving(0.005) as url:
        candidate, place = bench.remote(url, CONCURRENCY), bench.workplace()
        arguments = (bench.vault, bench.order(candidate), place)
        run = multiprocessing.get_context("spawn").Process(
            target=run_trial, args=arguments, kwargs={"progress": silent}, daemon=True
        )
        run.start()
        while count(url) < HTTP // 2:
            time.sleep(0.01)
        run.kill()
        run.join()
        time.sleep(0.1)
        before = count(url)
        bench.run(candidate, place)
        twice = count(url) - HTTP
    print(f"{f'SIGKILL after {before:,} of {HTTP:,} calls':<58}{twice} asked again (at most {CONCURRENCY} under way)")


def memory(folder: Path) -> None:
    """Print the peak memory of a fresh process that tries an in-process model on half a million examples."""
    prepared = multiprocessing.get_context("spawn").Process(target=prepare, args=(folder,))
    prepared.start()
    prepared.join()
    vault, order, place = msgspec.json.decode((folder / "order.json").read_bytes(), type=tuple[str, TrialOrder, str])
    workplace = Workplace(Path(place), folder, 1, Allowance())
    begun = time.perf_counter()
    outcome = run_isolated(
        run_trial, Vault(vault, cache=folder / "cache"), order, workplace, progress=silent, where="benchmark"
    )
    seconds = time.perf_counter() - begun
    assert outcome.value.n_items == MANY
    print(f"{f'peak memory of a trial of {MANY:,} examples':<58}{outcome.memory_mb:.0f} MB (at most 300 MB)")
    print(f"{'the same, by the clock':<58}{1000 * seconds / MANY:9.4f} ms a sample", flush=True)


def prepare(folder: Path) -> None:
    """Make the data set of half a million, in a process whose memory is not measured."""
    bench = Bench(folder, MANY)
    order, place = bench.order(bench.majority()), bench.workplace()
    (folder / "order.json").write_bytes(msgspec.json.encode((bench.vault.url, order, str(place.responses))))


def peers(python: str, ours: float) -> None:
    """Print what inspect_ai takes for the same requests, in its own interpreter."""
    script = Path(__file__).with_name("peers.py")
    with serving() as url:
        done = subprocess.run([python, str(script), url], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"peers: not measured ({(done.stderr.strip().splitlines() or ['no reason'])[-1]});", end=" ")
        print("give an interpreter that has them: pip install inspect-ai openai, then --peers PYTHON")
        return
    for name, each in json.loads(done.stdout.splitlines()[-1]).items():
        print(f"{name:<58}{each:9.4f} ms a sample, {each / ours:.0f} times ours")


class Took(Struct, frozen=True):
    """What work took: by the clock, and of this process's processor time, which a busy machine stretches less."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Took:
    """Return the seconds that a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def line(what: str, took: Took, n: int, bound: float = 0.0) -> None:
    """Print one figure."""
    at_most = f", at most {bound:g}" if bound else ""
    cpu = f"processor {1000 * took.cpu / n:.4f}{at_most}"
    print(f"{what:<58}{1000 * took.wall / n:9.4f} ms a sample ({cpu})", flush=True)


def share_of_ideal(what: str, took: Took, alone: float) -> None:
    """Print the throughput of `slow` as a share of the ideal, and of what the bare latency would allow."""
    ideal = SLOW / CONCURRENCY / took.wall
    shares = f"{ideal * alone:9.1%} of the ideal throughput ({ideal * LATENCY:.1%} of {1000 * LATENCY:.0f} ms sharp)"
    print(f"{f'{what}, {CONCURRENCY} at once':<58}{shares}", flush=True)


def _text(n: int) -> str:
    return f"a text of a few words, number {n}"


def _table(n: int) -> bytes:
    examples = (Example(f"row {place}", _text(place), LABELS[place % 2], "") for place in range(n))
    import polars as pl

    parts = (
        [examples_to_table(list(part)) for part in iter(lambda: tuple(itertools.islice(examples, 50_000)), ())]
        if n
        else []
    )
    return to_parquet(pl.concat(parts) if parts else examples_to_table([]))


if __name__ == "__main__":
    main()
