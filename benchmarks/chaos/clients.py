"""Clients that ask a fixed number of times a second, as OpenAI's own do: a broken connection is tried again.

Each request has an idempotency key, so that one that was asked twice is one event.
"""

import asyncio
import random
import time
import uuid
from dataclasses import dataclass, field

import aiohttp

TRIES = 4


@dataclass
class Told:
    """What the clients were told."""

    events: set[str] = field(default_factory=set)
    """Of the requests that were answered."""
    n_asked: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    """Status to how often, of clean 429s and 503s."""
    bad: list[str] = field(default_factory=list)
    """What no client may be told."""
    tried_again: int = 0
    by: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


async def ask_for(url: str, seconds: float, rate: float, told: Told) -> None:
    """Ask `rate` times a second for some seconds, whether or not the answers come."""
    begun, tasks = time.perf_counter(), set()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
        while (now := time.perf_counter() - begun) < seconds:
            if told.n_asked <= now * rate:
                told.n_asked += 1
                task = asyncio.create_task(_ask(session, url, told))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            else:
                await asyncio.sleep(max(0.0, told.n_asked / rate - now))
        await asyncio.gather(*tasks)


async def _ask(session: aiohttp.ClientSession, url: str, told: Told) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    streamed = random.random() < 0.2
    body = {"model": "desk", "messages": [{"role": "user", "content": f"ticket {told.n_asked}"}], "stream": streamed}
    started, failure = time.perf_counter(), ""
    for attempt in range(TRIES):
        if attempt:
            told.tried_again += 1
            await asyncio.sleep(0.1 * 2**attempt * random.random())
        try:
            async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as reply:
                content = await reply.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = f"no connection: {type(error).__name__}"
            continue
        whole = (b"[DONE]" in content) if streamed else True
        if reply.status == 200 and whole and b"billing" in content:
            told.events.add(reply.headers["x-lifeloop-event"])
            by = reply.headers["x-lifeloop-candidate"]
            told.by[by] = told.by.get(by, 0) + 1
            told.seconds.append(time.perf_counter() - started)
        elif reply.status in (429, 503) and b'"error"' in content:
            told.refused[reply.status] = told.refused.get(reply.status, 0) + 1
        else:
            told.bad.append(f"{reply.status}: {content[:200]!r}")
        return
    told.bad.append(failure)
