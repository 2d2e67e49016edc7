"""Refuses requests that try to set aside the system prompt or to get at it, by the phrases that such attempts use.

A list of phrases in four languages and the signs that chat templates put around turns: it stops what is copied from
the web, and nothing that was thought out. Who must be safe does not give the model what must not get out.
"""

import re
import unicodedata

from lifeloop.filters.filter import About

_OLD = (
    r"(?:all|any|every|everything|the|your|my|these|those|this|of|previous|prior|above|earlier|preceding|former|past|"
)
_OLD += r"initial|original|existing|current|system|safety|other|and|or|both|given|you were)"
_RULES = r"(?:instructions?|prompts?|rules?|directions?|directives?|guidelines?|guardrails?|commands?|orders?|"
_RULES += r"programming|training|restrictions?|constraints?|polic(?:y|ies))"
_PHRASES = (
    # set aside what was said before
    rf"(?:ignore|disregard|forget|override|overrule|bypass|discard|drop|neglect|skip|do not follow|don t follow|"
    rf"stop following|pay no attention to) (?:{_OLD} ){{1,6}}{_RULES}\b",
    r"(?:ignore|disregard|forget) (?:everything|all|anything)(?: that)?(?: i| you| we)?(?: was| were| have| ve)? "
    r"(?:been )?(?:told|said|written|read|above|before)\b",
    # get at the prompt
    r"(?:reveal|print|show|repeat|output|display|tell|give|share|leak|disclose|dump|recite|write(?: out| down)?|quote|"
    r"copy|translate|summari[sz]e|encode|what (?:is|are|s|was|were)) (?:(?:me|us|out|back|to|exactly|verbatim) )*"
    r"(?:(?:your|the|this|its|all|of|full|entire|exact|complete|whole) )*(?:system|hidden|secret|initial|original|"
    rf"developer|internal|confidential|pre ?) ?(?:message|{_RULES})\b",
    r"(?:repeat|print|output|write|copy|recite) (?:(?:all|everything|every|the|of|word|words|text|lines?|content|"
    r"sentences?) ){1,5}(?:above|before this|preceding|so far)\b",
    # be somebody without rules
    r"\bdo anything now\b|\bjailbr(?:eak|oken)\b|\b(?:developer|debug|god|admin|sudo|dan|unrestricted) mode "
    r"(?:is )?(?:now )?(?:on|enabled|activated)\b",
    r"(?:you are|you re|act as|pretend (?:to be|you are|that you are)|imagine you are) (?:now )?(?:\w+ ){0,4}"
    r"(?:without|with no|free (?:of|from)|no longer bound by|not bound by|unbound by|who ignores?|that ignores?) "
    rf"(?:{_OLD} ){{0,4}}(?:\w+ )?(?:{_RULES}|filters?|limits?|limitations?|ethics|morals|censorship)\b",
    r"\b(?:your )?new (?:system )?(?:instructions|prompt|rules) (?:are|is|follow|begin)\b",
    # the same in German, French and Spanish
    r"(?:ignorier|vergiss|missacht|vergess)\w* (?:bitte )?(?:sie )?(?:(?:alle?n?|die|deine|ihre|sämtliche|bisherigen|"
    r"vorherigen|vorigen|obigen|früheren) ){1,5}(?:anweisungen|regeln|vorgaben|instruktionen|befehle|prompts?)\b",
    r"(?:ignore[zr]?|oublie[zr]?) (?:(?:toutes?|tous|les|tes|vos|ces) ){1,4}(?:(?:instructions|consignes|règles|"
    r"directives) ?){1,2}(?:précédentes|antérieures|ci dessus|données|système)?\b",
    r"(?:ignora|ignore|olvida|olvide) (?:(?:todas?|las|tus|sus|estas) ){1,4}(?:instrucciones|reglas|indicaciones|"
    r"órdenes)\b",
    r"(?:zeig|nenn|verrat|gib)\w* (?:mir |uns )?(?:\w+ )?(?:system ?prompt|systemanweisung(?:en)?)\b",
)
_PHRASE = re.compile("|".join(_PHRASES))
_SIGNS = re.compile(
    r"<\|(?:im_start|im_end|system|user|assistant|start_header_id|end_header_id|eot_id|endoftext|begin_of_text)\|>"
    r"|<<\/?SYS>>|\[\/?INST\]|<\/?(?:start|end)_of_turn>|^\s*#{2,}\s*(?:system|instruction)\s*:"
    r"|\bnew (?:system )?(?:instructions|prompt)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_BETWEEN = re.compile(r"[\W_]+")


class Injection:
    """Looks for phrases that would override the system prompt."""

    what = frozenset({"input"})

    def __init__(self, argument: str = "") -> None:
        del argument

    def check(self, text: str, about: About, whole: bool) -> str:
        """Return why a text may not pass."""
        del about, whole
        if _SIGNS.search(text):
            return "it holds signs that set instructions apart from what is asked"
        if _PHRASE.search(_plain(text)):
            return "it asks to set aside or to reveal the instructions that answers are given under"
        return ""

    def open(self, text: str, about: About) -> int:
        """Return the end of the text: requests come whole."""
        del about
        return len(text)


def _plain(text: str) -> str:
    """Return a text's words in small letters with one space between, without what the eye does not see."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(each for each in text if unicodedata.category(each) != "Cf")
    return _BETWEEN.sub(" ", text.casefold())
