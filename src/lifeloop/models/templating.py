"""Templates that people and optimisers write, rendered so that none can reach out, hang or eat memory.

Takes a template's source and the words it may use, gives text or a ValueError that says what is not allowed. A template
is read as a tree before it runs: values, filters, conditions and loops of a short list are let through, nothing else;
what is let through pays for its work out of a purse, and an empty one ends it. Knows nothing of prompts.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

MOST_SOURCE = 50_000
"""Characters of a template."""
MOST_STEPS = 200_000
"""Parts of a template that loops may run, all in all."""
ROOM = 200_000
"""Characters that a template may write or work on, beside eight times those of its words."""
GROWTH = 8
LOOP_WORDS = ("index", "index0", "revindex", "revindex0", "first", "last", "length")
TESTS = ("defined", "undefined", "none", "string", "odd", "even", "divisibleby", "eq", "equalto", "in")
PURSE = "the purse"  # no template can name it: it holds a space


class Purse:
    """What one rendering may still spend."""

    def __init__(self, characters: int) -> None:
        self.characters = characters
        self.steps = MOST_STEPS

    def pay_text(self, n: int) -> None:
        """Pay for characters read or written. Raises ValueError where nothing is left."""
        self.characters -= n
        if self.characters < 0:
            raise ValueError("it writes far more than it is given")

    def pay_steps(self, n: int) -> None:
        """Pay for parts of a template run by a loop. Raises ValueError where nothing is left."""
        self.steps -= n
        if self.steps < 0:
            raise ValueError("its loops run too long")


def render(source: str, words: Mapping[str, Any]) -> str:
    """Return the text of a template with its words (texts, or lists of texts) put in.

    Raises ValueError for what a template may not do, and whatever else a failing template raises.
    """
    if len(source) > MOST_SOURCE:
        raise ValueError(f"it is longer than {MOST_SOURCE} characters")
    purse = Purse(ROOM + GROWTH * sum(_size(value) for value in words.values()))
    pieces = []
    for piece in _template(source).generate({**words, PURSE: purse}):
        purse.pay_text(len(piece))
        pieces.append(piece)
    return "".join(pieces)


@lru_cache(maxsize=64)
def _template(source: str) -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # Autoescape stays off: these are prompts, not pages.
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    environment.globals.clear()
    environment.filters = {name: _paid(function) for name, function in _filters().items()} | {"counted": _counted()}
    environment.tests = {name: environment.tests[name] for name in TESTS}
    tree = environment.parse(source)
    _check(tree)
    _count_loops(tree)
    return environment.from_string(tree)


def _check(tree: Any) -> None:
    """Raise ValueError where a template holds what is not on the list. Without calls, assignments and arithmetic, its
    work is bounded by its length and its loops.
    """
    from jinja2 import nodes

    known = (
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Filter, nodes.Getitem,
        nodes.Slice, nodes.Getattr, nodes.For, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And,
        nodes.Or, nodes.Not, nodes.Neg, nodes.Test, nodes.List, nodes.Tuple,
    )  # fmt: skip
    for node in tree.find_all(nodes.Node):
        name = type(node).__name__
        if not isinstance(node, known):
            raise ValueError(f"a template may not use {_SAID.get(name, name.lower())} (line {node.lineno})")
        if isinstance(node, nodes.Getattr) and not (_is_loop(node.node) and node.attr in LOOP_WORDS):
            raise ValueError(f"a template may not look into `.{node.attr}` (line {node.lineno})")
        if isinstance(node, nodes.For) and (node.recursive or not isinstance(node.target, nodes.Name)):
            raise ValueError(f"a loop goes over one plain name (line {node.lineno})")
        if isinstance(node, nodes.Filter) and (node.name == "counted" or node.dyn_args or node.dyn_kwargs):
            raise ValueError(f"a template may not use the filter {node.name!r} like this (line {node.lineno})")


_SAID = {
    "Call": "calls", "Mul": "arithmetic", "Pow": "arithmetic", "Div": "arithmetic", "FloorDiv": "arithmetic",
    "Add": "arithmetic", "Sub": "arithmetic", "Mod": "arithmetic", "Concat": "~", "Assign": "set",
    "AssignBlock": "set", "CallBlock": "call",
}  # fmt: skip


def _is_loop(node: Any) -> bool:
    return getattr(node, "name", "") == "loop"


def _count_loops(tree: Any) -> None:
    """Let every loop pay, before it runs, for its items times the parts of its body."""
    from jinja2 import nodes

    for loop in list(tree.find_all(nodes.For)):
        parts = [*loop.body, loop.test] if loop.test else loop.body
        weight = 1 + len(parts) + sum(1 for part in parts for _ in part.find_all(nodes.Node))
        loop.iter = nodes.Filter(loop.iter, "counted", [nodes.Const(weight)], [], None, None)


def _counted() -> Callable[..., Any]:
    from jinja2 import pass_context

    @pass_context
    def counted(context: Any, items: Iterable[Any], weight: int) -> tuple[Any, ...]:
        found = tuple(items)
        context.resolve(PURSE).pay_steps(weight * len(found))
        return found

    return counted


def _paid(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that pays for what it reads before it runs, and for what it gives."""
    from jinja2 import pass_context

    @pass_context
    def paid(context: Any, value: Any, *arguments: Any) -> Any:
        purse: Purse = context.resolve(PURSE)
        purse.pay_text(_size(value) + sum(_size(each) for each in arguments))
        result = function(purse, value, *arguments)
        purse.pay_text(_size(result))
        return result

    return paid


def _filters() -> dict[str, Callable[..., Any]]:
    """Return the filters there are, by name. None gives more than a few times what it takes; join pays in advance."""
    from jinja2 import Undefined

    plain: dict[str, Callable[..., Any]] = {
        "capitalize": lambda text: str(text).capitalize(),
        "default": lambda value, other="": other if isinstance(value, Undefined) else value,
        "first": lambda items: next(iter(items)),
        "last": lambda items: list(items)[-1],
        "length": len,
        "list": list,
        "lower": lambda text: str(text).lower(),
        "reverse": lambda items: items[::-1],
        "sort": lambda items: sorted(items, key=str),
        "title": lambda text: str(text).title(),
        "tojson": lambda value: json.dumps(value, ensure_ascii=False),
        "trim": lambda text: str(text).strip(),
        "truncate": lambda text, length=255: _truncated(str(text), length),
        "unique": lambda items: list(dict.fromkeys(items)),
        "upper": lambda text: str(text).upper(),
        "wordcount": lambda text: len(str(text).split()),
    }
    paying = {name: _without_purse(function) for name, function in plain.items()}
    return paying | {"join": _joined}


def _without_purse(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda purse, *arguments: function(*arguments)


def _joined(purse: Purse, items: Iterable[Any], between: str = "") -> str:
    texts = [str(item) for item in items]
    purse.pay_text(len(between) * len(texts))  # before it is written: this one can multiply
    return between.join(texts)


def _truncated(text: str, length: int) -> str:
    """Return a text cut at a word's end, with dots where it was cut."""
    if len(text) <= length:
        return text
    return f"{text[: max(0, length)].rsplit(' ', 1)[0]}…"


def _size(value: Any) -> int:
    """Return about how many characters a value is."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple):
        return len(value) + sum(_size(item) for item in value)
    return 8
