"""Puts events and feedback into a ledger such that one that it refuses does not stop the others.

Takes items, gives those that the ledger will never take. Knows nothing of files or of when the ledger is back.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy.exc import DataError, IntegrityError

from lifeloop.core.errors import StoreError
from lifeloop.core.events import Event, Feedback
from lifeloop.store.ledger import Ledger
from lifeloop.store.served_lines import Item

T = TypeVar("T")

REFUSALS = (OverflowError, UnicodeError, ValueError, TypeError)
"""What a driver raises on a value that it cannot even send."""


def deliver(ledger: Ledger, kept: Sequence[T], item_of: Callable[[T], Item]) -> list[tuple[T, str]]:
    """Put items into the ledger; return those that it refuses for what they hold, each with the reason.

    `kept` are the items in whatever form the caller wants them back, `item_of` gives the item. A batch that is refused
    is halved until the refused ones stand alone. Raises StoreError while the ledger takes nothing: it is locked, full
    or away, or broke the transaction off; then any of the items may be in it already, which does no harm to try again.
    """
    items = [item_of(one) for one in kept]
    events = [item for item in items if isinstance(item, Event)]
    feedback = [item for item in items if isinstance(item, Feedback)]
    try:
        ledger.add_served(events, feedback)
    except (StoreError, *REFUSALS) as error:
        if isinstance(error, StoreError) and not isinstance(error.__cause__, DataError | IntegrityError):
            raise
        if len(kept) == 1:
            return [(kept[0], type(error.__cause__ or error).__name__)]
        middle = len(kept) // 2
        return deliver(ledger, kept[:middle], item_of) + deliver(ledger, kept[middle:], item_of)
    return []
