"""Mail addresses and network addresses in a text. Takes a text, gives the spans where one stands."""

import ipaddress
import re
from collections.abc import Sequence

from lifeloop.guards.personal.context import Span, hit

MAIL_HINT = r"@|(?i)[(\[{] ?at ?[)\]}]|\bdot (?:com|org|net|edu|gov|io|co|de|fr|uk|eu|info)\b"
IP_HINT = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9a-fA-F]:[0-9a-fA-F]{0,4}:"

_LOCAL = re.compile(r"[^\W_](?:[\w.!#$%&'*+/=?^`{|}~-]{0,62}[\w+~-])?\Z|_[\w.+-]{1,62}\Z")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}([^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})(?![\w@])")
_NO_DOMAIN = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "pdf", "ico"})  # logo@2x.png
_NO_PERSON = frozenset({"git"})  # git@host:path is an address of a program
_DOT = r"(?:\.|\s?[(\[{]\s?dot\s?[)\]}]\s?|\sdot\s)"
_SPELT = re.compile(
    rf"(?i)(?<![\w.])[a-z0-9][\w+-]{{0,40}}(?:{_DOT}[\w+-]{{1,40}}){{0,3}}\s?(?:[(\[{{]\s?at\s?[)\]}}]|\sat\s)\s?"
    rf"[a-z0-9-]{{1,63}}(?:{_DOT}[a-z0-9-]{{1,63}}){{0,3}}{_DOT}(?:com|org|net|edu|gov|io|co|de|fr|uk|eu|info|es|"
    rf"it|nl)\b"
)
_SPELT_OUT = re.compile(r"(?i)[(\[{]\s?(?:at|dot)\s?[)\]}]|\sdot\s")

_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\w)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-fA-F:]{4,39}(?:\.\d{1,3}\.\d{1,3}\.\d{1,3})?(?![\w:]|\.\w)")
_CALLED_VERSION = (
    r"version|ver|v|release|rel|build|section|sec|chapter|firmware|update|driver|kernel|oid|clause|paragraph|revision"
)


def mails(text: str, regions: Sequence[str] = ()) -> list[Span]:
    """Return the spans of mail addresses, also of those spelt out as `ann (at) example (dot) org`."""
    del regions
    found = []
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text, max(0, at - 64), at)
        domain = _DOMAIN.match(text, at + 1)
        if local and domain and domain.group(1).lower() not in _NO_DOMAIN and local.group().lower() not in _NO_PERSON:
            found.append((local.start(), domain.end()))
        at = text.find("@", at + 1)
    if _SPELT_OUT.search(text):
        found += [each.span() for each in _SPELT.finditer(text) if _SPELT_OUT.search(each.group())]
    return found


def ips(text: str, regions: Sequence[str] = ()) -> list[Span]:
    """Return the spans of IPv4 and IPv6 addresses, but for those that mean no machine (loopback, masks, multicast)."""
    del regions
    found = []
    for each in (*_IPV4.finditer(text), *_IPV6.finditer(text)):
        start, end, words = each.start(), each.end(), each.group()
        if words.endswith(":") and not words.endswith("::"):
            end, words = end - 1, words[:-1]
        if _is_address(words) and not hit(_CALLED_VERSION, text, start):
            found.append((start, end))
    return found


def _is_address(words: str) -> bool:
    try:
        address = ipaddress.ip_address(words)
    except ValueError:
        return False
    if address.version == 6:
        groups = [group for group in words.split(":") if group]
        if len(groups) < 3 or not any(letter.isdigit() for letter in words):  # `a::b` is code, not an address
            return False
    elif words.startswith(("0.", "255.")):
        return False
    return not (address.is_loopback or address.is_multicast or address.is_unspecified)
