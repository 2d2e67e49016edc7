"""What `scope = "auto"` adds to a brief: a router over specialists, a cascade and a candidate that knows when to say
nothing, built from the parts that the brief's own candidates are.

Takes a brief, gives a brief. Which of them is any good is for the experiment to say; nothing is tried here.
"""

from typing import Any

import msgspec

from lifeloop.core.brief import Brief
from lifeloop.core.errors import BriefError

Table = dict[str, Any]

ROUTED, CASCADE, CAREFUL = "routed", "cascade", "careful"
NARROW = ("features", "encoder")
"""Kinds that are trained on the data, and know how sure they are; the cheapest first."""
BROAD = ("llamacpp", "transformers", "remote")
"""Kinds that know more than the data; the cheapest first."""


def expand(brief: Brief) -> Brief:
    """Return the brief with the candidates that its scope calls for; with a scope other than "auto", as it is.

    A name that the brief has, or a candidate that it has under another name, is not added. Raises BriefError where
    `auto.by` or `auto.part` names what is not there.
    """
    if brief.project.scope != "auto":
        return brief
    candidates = dict(brief.candidates)
    for name, table in ((ROUTED, _routed(brief)), (CASCADE, _cascade(brief)), (CAREFUL, _careful(brief))):
        if table is not None and name not in candidates and not any(_same(table, own) for own in candidates.values()):
            candidates[name] = table
    return msgspec.structs.replace(brief, candidates=candidates)


def _routed(brief: Brief) -> Table | None:
    """Return a router over specialists like one narrow candidate, or None where there is no column or no such part."""
    part = _part(brief)
    by = brief.auto.by or next(iter(brief.data.slices), "")
    if brief.auto.by and brief.auto.by not in brief.data.slices:
        raise BriefError(
            f"{brief.auto.by!r} is no column of data.slices",
            where="lifeloop.toml: auto.by",
            fix=f'add it: slices = ["{brief.auto.by}"]',
        )
    if not by or not part or brief.project.task != "classify":
        return None
    # Counted words tell topics apart better than a sentence's vector does, and cost next to nothing.
    return {"kind": "router", "by": by, "router": {"kind": "features"}, "specialist": dict(brief.candidates[part])}


def _part(brief: Brief) -> str:
    """Return the candidate that specialists are made like: of what is adapted, the one that it was made from."""
    name = brief.auto.part
    if not name:
        own = [other for other, table in brief.candidates.items() if table.get("kind") in NARROW]
        return _best_looking(own, brief) if own else ""
    if name not in brief.candidates:
        raise BriefError(
            f"there is no candidate {name!r}",
            where="lifeloop.toml: auto.part",
            fix=f"name one of: {', '.join(brief.candidates)}",
        )
    while "parent" in brief.candidates[name]:
        name = brief.candidates[name]["parent"]
    if brief.candidates[name].get("kind") not in NARROW:
        raise BriefError(
            f"specialists cannot be made like {brief.auto.part!r}",
            where="lifeloop.toml: auto.part",
            fix="name a candidate of kind features or encoder",
        )
    return name


def _cascade(brief: Brief) -> Table | None:
    """Return the cheapest narrow candidate before the broadest, or before the best-looking narrow one."""
    narrow, broad = _of(NARROW, brief), _of(BROAD, brief)
    if not narrow:
        return None
    first, last = _cheapest(narrow, brief), _best_looking(broad or narrow, brief)
    if first == last:
        return None
    return {"kind": "cascade", "members": [first, last], "risk": brief.auto.risk}


def _careful(brief: Brief) -> Table | None:
    """Return the best-looking narrow candidate, withholding what it is unsure of."""
    narrow = _of(NARROW, brief)
    if not narrow or not brief.data.out_of_scope or brief.project.task != "classify":
        return None
    return {"kind": "abstain", "members": [_best_looking(narrow, brief)], "risk": brief.auto.risk}


def _of(kinds: tuple[str, ...], brief: Brief) -> list[str]:
    """Return the candidates of some kinds and what is adapted from them."""
    return [name for name in brief.candidates if _kind(name, brief.candidates) in kinds]


def _cheapest(names: list[str], brief: Brief) -> str:
    return min(names, key=lambda name: _rank(name, brief.candidates))


def _best_looking(names: list[str], brief: Brief) -> str:
    """Return who promises the most before anything is tried; of equals the first of the brief."""
    return max(names, key=lambda name: _rank(name, brief.candidates))


def _rank(name: str, candidates: dict[str, Table]) -> tuple[int, int]:
    """Return how promising and how dear a candidate is before it is tried: its kind, then how often it was adapted."""
    return (*NARROW, *BROAD).index(_kind(name, candidates)), _adaptations(name, candidates)


def _kind(name: str, candidates: dict[str, Table]) -> str:
    table = candidates[name]
    return str(table["kind"]) if "kind" in table else _kind(table["parent"], candidates)


def _adaptations(name: str, candidates: dict[str, Table]) -> int:
    table = candidates[name]
    return 1 + _adaptations(table["parent"], candidates) if "parent" in table else 0


def _same(one: Table, other: Table) -> bool:
    """Return whether two sections compose the same parts in the same way, whatever their settings."""
    if one["kind"] != other.get("kind"):
        return False
    key = "by" if one["kind"] == "router" else "members"
    return bool(one[key] == other.get(key))
