"""How long work tells how far it is, without knowing who listens."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with (done, total, note); total 0 means that it is not known. The note says what is being done and, where that
is known, how fast and for how much money: "answering, 120/s · 0.0031 USD"."""


def silent(done: int, total: int, note: str) -> None:
    """Tell nobody."""
