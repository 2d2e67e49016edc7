"""Passwords, keys and tokens in a text: by the shapes that services give them, or by the word before them.

Takes a text, gives the spans where one stands. A hash or an identifier that no word calls a secret is none.
"""

import base64
import math
import re
from collections import Counter
from collections.abc import Sequence

from lifeloop.guards.personal.context import Span

_WORDS = (
    r"password|passwd|passphrase|passcode|pwd|pw|passwort|kennwort|mot de passe|contraseña|wachtwoord|senha|"
    r"(?:client|api|app|shared|signing|webhook|consumer|aws|my)?[ _-]?secret(?:[ _-]?(?:access[ _-]?)?key)?|"
    r"(?:api|access|secret|private|encryption|auth|account|license|licence|subscription|master)[ _-]?key|apikey|"
    r"(?:auth|access|api|refresh|session|bearer|bot|id|csrf|personal access)?[ _-]?token|credentials?"
)
SECRET_HINT = (
    r"(?i:passw|passphrase|passcode|pwd|basic[^a-z]|kennwort|mot de passe|contraseña|wachtwoord|senha|secret|token|"
    r"credential|bearer|"
    r"(?:api|access|private|encryption|auth|account|licen[cs]e|subscription|master)[ _-]?key)|"
    r"(?:[^A-Za-z]|^)[Pp][Ww][^A-Za-z]|://[!-~]+@|-----BEGIN|AKIA|ASIA|ABIA|ACCA|gh[pousr]_|github_pat|glpat-|\bsk-[A-Za-z0-9]|xox[a-z]-|xapp-|"
    r"hooks\.slack|AIza|ya29|GOCSPX|[srp]k_live|[srp]k_test|whsec_|eyJ|SG\.|npm_|hf_|pypi-Ag|dop_v1|shp[acps]{2}_|"
    r"AC[0-9a-f]{4}|SK[0-9a-f]{4}|[0-9]:AA"
)

_SHAPES = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY"
    r"(?: BLOCK)?-----|\Z)"
    r"|(?<![A-Za-z0-9_])(?:"
    r"A(?:KI|SI|BI|CC)A[0-9A-Z]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,}|glpat-[\w-]{20,}"
    r"|sk-(?=[\w-]{0,60}\d)(?:(?:proj|ant|svcacct|admin|or-v1|live|test)-)?[\w-]{20,}"
    r"|xox[abeprs]-[\w-]{10,}|xapp-[\w-]{20,}|AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}"
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9]{16,}"
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|npm_[A-Za-z0-9]{36}|hf_[A-Za-z0-9]{30,}|pypi-AgEI[\w-]{40,}|dop_v1_[a-f0-9]{64}|shp(?:at|ca|pa|"
    r"ss)_[a-fA-F0-9]{32}"
    r"|(?:AC|SK)[0-9a-f]{32}|\d{8,10}:AA[A-Za-z0-9_-]{33}"
    r")(?![A-Za-z0-9_])"
    r"|https://hooks\.slack\.com/services/[\w/]+",
    re.DOTALL,
)
_IN_URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,64}:([^\s/@]{3,128})@")
_AZURE = re.compile(r"AccountKey=([A-Za-z0-9+/]{40,}={0,2})")
_BEARER = re.compile(r"(?i)\bbearer\s+([A-Za-z0-9._~+/-]{15,}[A-Za-z0-9_~+/-]=*)")
_BASIC = re.compile(r"(?i)\bbasic\s+([A-Za-z0-9+/]{4,}={0,2})(?![\w+/=])")
_ASSIGNED = re.compile(
    rf"(?i)(?<![A-Za-z])(?:{_WORDS})[\"'`*]{{0,2}}(?:\s*(=>|:=|[:=])\s*|\s+(?:is|was|ist|war|est|es|é|to|at)\s*:?\s+)"
    r"(?:\"([^\"\n]{4,200})\"|'([^'\n]{4,200})'|`([^`\n]{4,200})`|([^\s\"'`,;()<>\[\]{}]{4,200}))"
)
_PASSWORD = re.compile(r"(?i)pass|pwd?|kennwort|mot de|contraseña|wachtwoord|senha")
_CLASSES = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), re.compile(r"\d"), re.compile(r"[^\w\s]"))
_LEAST_BITS = 2.5
"""Of entropy a character, for what a sign alone calls a secret: `token: aaaaaaaaaaaa1` is none."""


def secrets(text: str, regions: Sequence[str] = ()) -> list[Span]:
    """Return the spans of keys, tokens and passwords."""
    del regions
    found = [each.span() for each in _SHAPES.finditer(text)]
    for pattern in (_IN_URL, _AZURE):
        found += [each.span(1) for each in pattern.finditer(text)]
    found += [each.span(1) for each in _BEARER.finditer(text) if re.search(r"\d", each.group(1))]
    found += [each.span(1) for each in _BASIC.finditer(text) if _is_basic(each.group(1))]
    for each in _ASSIGNED.finditer(text):
        group = next(number for number in range(2, 6) if each.group(number))
        value = each.group(group).rstrip(".!?") if group == 5 else each.group(group)
        if _is_secret(value, password=_PASSWORD.match(each.group()) is not None, signed=bool(each.group(1))):
            found.append((each.start(group), each.start(group) + len(value)))
    return found


def _is_secret(value: str, *, password: bool, signed: bool) -> bool:
    """Say whether a value that a word calls a secret looks like one; `signed` where a sign and no "is" comes before it.

    A password is of two kinds of signs, digits or marks among them, as no word is; a key or token is longer and mixed.
    """
    if value.startswith(("[", "<", "${", "{{", "%", "*")) or "://" in value or " " in value.strip():
        return False
    kinds = sum(bool(each.search(value)) for each in _CLASSES)
    marked = any(letter.isdigit() for letter in value) or bool(re.search(r"[^\w\s.'’-]", value))
    if password:
        return len(value) >= (5 if signed else 6) and kinds >= 2 and marked
    return len(value) >= 12 and kinds >= 2 and any(letter.isdigit() for letter in value) and _bits(value) >= _LEAST_BITS


def _is_basic(words: str) -> bool:
    """Say whether words are a name and a password as HTTP's basic scheme sends them (RFC 7617)."""
    bare = words.rstrip("=")
    try:
        told = base64.b64decode(bare + "=" * (-len(bare) % 4)).decode()
    except ValueError:  # of which both a wrong length and no text are
        return False
    return ":" in told and told.isprintable()


def _bits(value: str) -> float:
    """Return the entropy of a value's characters, in bits a character (Shannon, 1948)."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
