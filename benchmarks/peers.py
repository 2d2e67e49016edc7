"""Times peers of the engine against an endpoint, as JSON: name to milliseconds a sample.

PEERS_PYTHON benchmarks/peers.py URL — run by engine.py in an environment of the peers' own; imports nothing of ours.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable

N, WARM, CONCURRENCY = 400, 32, 64


def main(url: str) -> None:
    """Time every peer that is installed and print the figures as one line of JSON."""
    found: dict[str, float] = {}
    for measure in (inspect_ai, pydantic_evals):
        try:
            found |= measure(url)
        except ImportError as error:
            print(f"{measure.__name__}: {error}", file=sys.stderr)
    if not found:
        raise SystemExit("no peer is installed")
    print(json.dumps(found))


def inspect_ai(url: str) -> dict[str, float]:
    """Return inspect_ai's figures, with its display and its live log on and off; it writes a log either way."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    def run(n: int, **options: object) -> None:
        samples = [Sample(input=f"a text of a few words, number {place}", target="sport") for place in range(n)]
        task = Task(dataset=MemoryDataset(samples), solver=generate(), scorer=match())
        model = get_model("openai-api/stub/m", base_url=url, api_key="none", memoize=False)
        with tempfile.TemporaryDirectory() as logs:
            eval(task, model=model, max_connections=CONCURRENCY, log_dir=logs, **options)

    def quiet(n: int) -> None:
        run(n, display="none", log_realtime=False)

    def shown(n: int) -> None:
        run(n, display="rich")

    os.environ["INSPECT_LOG_LEVEL"] = "warning"
    return {
        "inspect_ai, display and live log off": each(quiet),
        "inspect_ai, display and live log on": each(lambda n: to_stderr(lambda: shown(n))),
    }


def pydantic_evals(url: str) -> dict[str, float]:
    """Return pydantic-evals' figure, with the openai client; it keeps results in memory alone."""
    from openai import AsyncOpenAI
    from pydantic_evals import Case, Dataset
    from pydantic_evals.evaluators import EqualsExpected

    def run(n: int) -> None:
        async def work() -> None:
            client = AsyncOpenAI(base_url=url, api_key="none")

            async def answer(text: str) -> str:
                reply = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
                return reply.choices[0].message.content or ""

            cases = [
                Case(name=str(place), inputs=f"a text of a few words, number {place}", expected_output="sport")
                for place in range(n)
            ]
            dataset = Dataset(name="bench", cases=cases, evaluators=[EqualsExpected()])
            await dataset.evaluate(answer, max_concurrency=CONCURRENCY, progress=False)

        asyncio.run(work())

    return {"pydantic-evals (nothing durable)": each(run)}


def each(run: Callable[[int], None]) -> float:
    """Return the milliseconds that a sample takes, once everything is imported."""
    run(WARM)
    begun = time.perf_counter()
    run(N)
    return 1000 * (time.perf_counter() - begun) / N


def to_stderr(work: Callable[[], None]) -> None:
    """Do work whose display must not mix with our figures."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        work()
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


if __name__ == "__main__":
    main(sys.argv[1])
