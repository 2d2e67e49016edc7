"""What stands in the place of personal data: `[MAIL]`, or `[MAIL:0123456789abcdef]` where a key may undo it.

Takes values, gives tokens, and finds tokens in texts. Knows nothing of how values are found.
"""

import hashlib
import hmac
import re

DIGITS = 16
"""64 bits: among a million values, two share a token once in 37 million projects."""

KINDS = ("mail", "phone", "card", "iban", "national_id", "secret", "name", "ip", "address", "birth_date")
"""All kinds of personal data, those whose values check themselves first."""

TOKEN = re.compile(rf"\[(?:{'|'.join(kind.upper() for kind in KINDS)})(?::[0-9a-f]{{{DIGITS}}})?\]")


def token(kind: str, value: str, key: bytes | None) -> str:
    """Return what stands for a value: with a key, the same for the same value wherever it is and whoever asks.

    HMAC-SHA-256 under the key, so that without it nobody can try values out.
    """
    if key is None:
        return f"[{kind.upper()}]"
    digest = hmac.new(key, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return f"[{kind.upper()}:{digest[:DIGITS]}]"


def alias(kind: str, value: str) -> str:
    """Return a token for a value without a key that differs for each value, for what tells rows apart.

    It is a pseudonym, no more: who can guess the value can hash it and see that it is the same.
    """
    digest = hashlib.sha256(f"{kind}\0{value}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"[{kind.upper()}:{digest[:DIGITS]}]"
