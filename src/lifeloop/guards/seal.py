"""What was masked, under lock: a key from a pass phrase, values encrypted with it, and tokens turned back to values.

Takes and gives bytes and texts; knows nothing of rows. Without a key nothing that could be turned back is ever stored.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from lifeloop.core.errors import BriefError, DataError
from lifeloop.guards.personal.tokens import TOKEN
from lifeloop.guards.rewriting import Edit, edited, moved_entities, objects, rewritten

LEAST_CHARS = 16
"""Of a pass phrase."""
VARIABLE = "LIFELOOP_DATA_KEY"

_SALT = b"lifeloop data key 1"  # fixed: the key must be the same on every machine that has the phrase, and nothing else
_MAGIC = b"lifeloop-sealed-1\n"


@lru_cache(maxsize=4)
def data_key(text: str) -> bytes:
    """Return the key (64 bytes) of a pass phrase, by scrypt (RFC 7914) with 64 MB: a guess costs a tenth of a second.

    Raises BriefError for a phrase of fewer than 16 characters.
    """
    if len(text) < LEAST_CHARS:
        fix = "take a long random one: python -c 'import secrets; print(secrets.token_urlsafe(32))'; and keep it safe"
        raise BriefError(f"the key has {len(text)} characters, fewer than {LEAST_CHARS}", where=VARIABLE, fix=fix)
    return hashlib.scrypt(text.encode(), salt=_SALT, n=2**16, r=8, p=1, maxmem=2**27, dklen=64)


def seal(sealed: Mapping[str, str], key: bytes) -> bytes:
    """Return tokens and their values encrypted and authenticated under a key: equal values give equal bytes.

    AES-256-SIV (RFC 5297) takes no nonce: its initial vector is a keyed hash of all of the content. So nothing can
    repeat that must not, and all that equal bytes tell is that equal values were sealed, which the content id of an
    artifact is there to tell.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    return _MAGIC + AESSIV(_cipher_key(key)).encrypt(msgspec.json.encode(dict(sealed), order="sorted"), [_MAGIC])


def unseal(data: bytes, key: bytes) -> dict[str, str]:
    """Return the tokens and values that `seal` encrypted. Raises DataError where the key or the bytes are others."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    if not data.startswith(_MAGIC):
        raise DataError("no sealed values are in it", where="sealed", fix="name the sealed part of a dataset")
    try:
        content = AESSIV(_cipher_key(key)).decrypt(data[len(_MAGIC) :], [_MAGIC])
    except (InvalidTag, ValueError):
        fix = f"set {VARIABLE} to what it was when the data was collected"
        raise DataError(
            "the sealed values do not open with this key, or were changed", where=VARIABLE, fix=fix
        ) from None
    return msgspec.json.decode(content, type=dict[str, str])


def unmask(text: str, tokens: Mapping[str, str]) -> str:
    """Return a text with each token that `tokens` knows turned back to its value.

    In a conversation, or any JSON list of objects, values are written as JSON strings must be.
    """
    if objects(text) is not None:
        return rewritten(text, lambda words: _unmasked(words, tokens))
    return _unmasked(text, tokens)


def unmask_entities(text: str, reference: str, tokens: Mapping[str, str]) -> tuple[str, str]:
    """Return the input of an extraction unmasked, and its reference with the places of entities moved along."""
    edits = _edits(text, tokens)
    plain = edited(text, edits)
    return plain, moved_entities(reference, edits, plain) if edits else reference


def _unmasked(text: str, tokens: Mapping[str, str]) -> str:
    return edited(text, _edits(text, tokens))


def _edits(text: str, tokens: Mapping[str, str]) -> Sequence[Edit]:
    found = TOKEN.finditer(text)
    return [Edit(*each.span(), tokens[each.group()]) for each in found if each.group() in tokens]


def _cipher_key(key: bytes) -> bytes:
    """Return the key of the cipher, which is not that of the tokens: HKDF (RFC 5869) parts them."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=64, salt=None, info=b"lifeloop seal").derive(key)
