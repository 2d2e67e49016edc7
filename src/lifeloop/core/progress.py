"""How long work tells how far it is, without knowing who listens."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with (done, total, note); total 0 means that it is not known."""


def silent(done: int, total: int, note: str) -> None:
    """Tell nobody."""
