"""What a person says of a decision of their own, as the record keeps it: one line that is there and can be kept."""

from lifeloop.core.errors import GateError

LONGEST_NAME = 255
"""What the ledger holds of a name."""


def said(text: str, where: str, what: str) -> str:
    """Return a text in one line. Raises GateError where there is none, or one that cannot be kept."""
    line = " ".join(text.split())
    if not line:
        raise GateError("this needs a reason and a name, and one of them is empty", where=where, fix=f"say {what}")
    try:
        line.encode()
    except UnicodeEncodeError:
        raise GateError(
            "this is not UTF-8 text", where=where, fix="write it anew in this terminal's encoding"
        ) from None
    if where == "--by" and len(line) > LONGEST_NAME:
        raise GateError(f"a name of {len(line)} characters", where=where, fix=f"at most {LONGEST_NAME} fit the ledger")
    return line
