"""Hedging: when the first who was asked stays silent, ask the next one too, and take whoever speaks first.

Takes what to start and how long silence may last, gives the first result; the other is cancelled and its place given
back (Dean & Barroso, The Tail at Scale, 2013). Knows nothing of models or streams.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from lifeloop.models.model import Unanswered

T = TypeVar("T")


async def first_to_speak(
    asks: Sequence[Callable[[], Coroutine[Any, Any, T]]],
    silence: float,
    may_hedge: Callable[[], bool],
    failed: Callable[[int, Unanswered], None],
    discard: Callable[[T], Awaitable[None]],
) -> tuple[int, T, tuple[int, ...]] | None:
    """Return who spoke first, what it said and who was still silent then; None where all failed.

    They are started in order: the next one when nobody is left who might speak, or when a single one has been silent
    for `silence` seconds and `may_hedge` agrees; so never more than two at once. `failed` hears of each that raised
    Unanswered; `discard` gets what a second one said at the same moment.
    """
    running: dict[asyncio.Task[T], int] = {}
    started = 0
    try:
        while running or started < len(asks):
            if not running:
                running[asyncio.create_task(asks[started]())] = started
                started += 1
            alone = len(running) == 1 and started < len(asks)
            done, _ = await asyncio.wait(
                running, timeout=silence if alone else None, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                if may_hedge():
                    running[asyncio.create_task(asks[started]())] = started
                    started += 1
                continue
            for task in sorted(done, key=running.__getitem__):
                number = running[task]
                error = task.exception()
                if error is None:
                    del running[task]
                    return number, task.result(), tuple(sorted(running.values()))
                del running[task]
                if not isinstance(error, Unanswered):
                    raise error
                failed(number, error)
        return None
    finally:
        for task in running:
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
        for number, said in zip(list(running.values()), ended, strict=True):
            if isinstance(said, Unanswered):  # at the same moment
                failed(number, said)
            elif not isinstance(said, BaseException):
                await discard(said)
