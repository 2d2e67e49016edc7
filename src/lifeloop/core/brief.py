"""The brief: what a use case is for, how good it must be, what it may cost. Read from `lifeloop.toml`.

Takes the text of the file, gives frozen types or one clear error with the key's path. Knows nothing of which model
kinds, tasks or metrics exist: `lifeloop.project` checks those names against what is installed.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from lifeloop.core.data import SPLITS
from lifeloop.core.data_brief import Data
from lifeloop.core.errors import BriefError
from lifeloop.core.gateway_brief import Gateway, check_origins
from lifeloop.core.preferences_brief import PreferencesBrief
from lifeloop.core.rollout_brief import Rollout, check_rollout

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Positive = Annotated[float, Meta(gt=0.0)]
NotNegative = Annotated[float, Meta(ge=0.0)]


class Project(Struct, frozen=True, forbid_unknown_fields=True):
    """What the use case is."""

    name: Name
    """Lower-case name; also the path of its endpoint, /v1/tasks/NAME."""
    task: str
    """classify, extract, generate or chat (or a task that a plugin brings)."""
    problem: str = ""
    """The problem in the words of the people who have it."""
    scope: Literal["auto", "narrow", "broad"] = "auto"
    """Narrow specialist, broad model, or let the evidence decide: "auto" adds candidates that the brief does not name,
    such as specialists by the first of data.slices behind a router (see [auto])."""


class Objective(Struct, frozen=True, forbid_unknown_fields=True):
    """What "good" means, as a number."""

    metric: str
    target: float | None = None
    """The value to reach. May be left out for a guard alone."""
    guard: bool = False
    """A challenger may not make this worse than the champion by more than `margin`."""
    margin: NotNegative = 0.01
    """How much worse still counts as equal."""
    slices: tuple[str, ...] = ()
    """Columns of data.slices by whose values a guard holds too: no slice with at least 30 test examples may be shown to
    get worse by more than `margin`."""


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """What one cycle may spend."""

    minutes: Positive = 15.0
    usd: NotNegative = 0.0
    """Money for remote endpoints."""
    tokens: Annotated[int, Meta(ge=0)] = 0
    """Tokens that remote endpoints may read and write; 0 sets no bound."""
    memory_gb: Positive = 8.0
    usd_per_hour: NotNegative = 0.10
    """What an hour of this machine costs, so that local models have a price too."""


class Explore(Struct, frozen=True, forbid_unknown_fields=True):
    """How candidates are compared before the gate."""

    max_items: Annotated[int, Meta(ge=0)] = 0
    """At most this many validation examples, the same for all candidates; 0 means all."""
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    """Seed of everything that a candidate's making leaves to chance."""
    repeats: Annotated[int, Meta(ge=1, le=100)] = 1
    """How often a candidate with a temperature is asked each example; the others answer alike every time."""
    race: bool = True
    """Stop trying a candidate once it is shown to be worse than the leader by the gate's margin."""


class Gate(Struct, frozen=True, forbid_unknown_fields=True):
    """When a challenger wins."""

    baseline: str = ""
    """Candidate that stands in for a champion in the first cycle; by default the simplest one."""
    confidence: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.95
    power: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.8
    effect: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.03
    """Smallest difference in the first objective that is worth finding."""
    margin: NotNegative = 0.01
    """A cheaper challenger wins if it is not worse than this."""
    checks: Literal["hold", "report"] = "hold"
    """Whether a challenger whose training broke something (capabilities outside the task, equal treatment, …) is
    rejected, or that is only reported."""


class Auto(Struct, frozen=True, forbid_unknown_fields=True):
    """What `scope = "auto"` builds beside the candidates that the brief names."""

    by: str = ""
    """Column whose values get a specialist each; by default the first of data.slices. Without one, no router."""
    part: str = ""
    """Candidate that specialists are made like; by default the most promising narrow one."""
    risk: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.05
    """What cascades may lose, and abstaining candidates may get wrong: a share of the requests."""


class Release(Struct, frozen=True, forbid_unknown_fields=True):
    """How a promoted candidate reaches users."""

    strategy: Literal["direct", "shadow", "canary", "ab"] = "direct"
    """direct: to all at once; shadow: first answers unseen, to be compared; canary: in steps, with a test at each; ab:
    beside what is there, until it is shown to be better."""
    fallback: tuple[str, ...] = ()
    """Candidates that answer, in this order, when the released one fails or is too slow."""
    timeout_seconds: Positive = 10.0
    rollout: Rollout = Rollout()


class Monitor(Struct, frozen=True, forbid_unknown_fields=True):
    """What is watched in production."""

    window: Annotated[int, Meta(ge=1)] = 1000
    """How many of the latest events a summary covers."""
    min_feedback: Annotated[int, Meta(ge=1)] = 20
    """New feedback that makes another cycle worth running."""


class Brief(Struct, frozen=True, forbid_unknown_fields=True):
    """One use case."""

    project: Project
    data: Data
    objectives: tuple[Objective, ...]
    candidates: dict[Name, dict[str, Any]]
    """Name to settings. `kind` names a model kind; or `parent` and `adapt` name what is adapted, and how."""
    budget: Budget = Budget()
    explore: Explore = Explore()
    auto: Auto = Auto()
    gate: Gate = Gate()
    release: Release = Release()
    monitor: Monitor = Monitor()
    gateway: Gateway = Gateway()
    preferences: PreferencesBrief = PreferencesBrief()
    metrics: dict[Name, dict[str, Any]] = {}
    """Metrics of the use case's own: name to settings, where `kind` names a metric kind (costs, function, judge, …)."""

    @property
    def primary(self) -> Objective:
        """The first objective: the one that ranks candidates."""
        return self.objectives[0]


def parse_brief(text: str, file: str = "lifeloop.toml") -> Brief:
    """Return the brief that a TOML text holds. Raises BriefError that names the file, the key and the remedy."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BriefError(f"not valid TOML: {error}", where=file, fix="mend that line; texts want quotes") from None
    try:
        brief = msgspec.convert(table, Brief)
    except msgspec.ValidationError as error:
        raise _explain(str(error), table, file) from None
    _check_objectives(brief, file)
    _check_splits(brief, file)
    _check_candidates(brief, file)
    check_rollout(brief.release.rollout, brief.release.strategy, file)
    check_origins(brief.gateway.protection.cors, file)
    return brief


def what_cycles_rest_on(brief: Brief) -> dict[str, Any]:
    """Return the brief as JSON without what no verdict rests on: how it is served, and how it gets to all traffic."""
    table: dict[str, Any] = msgspec.to_builtins(brief)
    table.pop("gateway")
    table["release"].pop("rollout")
    table["release"]["strategy"] = "direct"  # so that briefs from before there were others keep their ids
    return table


def convert_settings(table: dict[str, Any], settings: type[Any], key: str, file: str) -> Any:
    """Return a section of the brief as the frozen `settings` type of a kind or an adaptation.

    `key` is the section's path (`candidates.tfidf`). Raises BriefError as `parse_brief` does.
    """
    try:
        return msgspec.convert(table, settings)
    except msgspec.ValidationError as error:
        known = [field.encode_name for field in msgspec.structs.fields(settings)]
        raise _explain(str(error), table, file, under=key, known=known) from None


_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?(?P<path>\$[^`]*)`)?$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_NAME_RULE = "use lower-case letters, digits, '-', '_' and '.', starting with a letter or a digit"


def _explain(
    message: str, table: dict[str, Any], file: str, *, under: str = "", known: list[str] | None = None
) -> BriefError:
    """Return msgspec's complaint as one that a person can act on."""
    match = _AT.match(message)
    what, path = (match["what"], match["path"] or "$") if match else (message, "$")
    key = ".".join(part for part in (under, _named(path)) if part)
    if unknown := _UNKNOWN.match(what):
        field = unknown["field"]
        fix = _meant(field, known) if known is not None else _meant(field, _keys_at(path), _tables_with(field, path))
        return BriefError("unknown key", where=f"{file}: {_join(key, field)}", fix=fix)
    if missing := _MISSING.match(what):
        field = missing["field"]
        return BriefError("missing key", where=f"{file}: {_join(key, field)}", fix=f"add `{field} = …`")
    if "matching regex" in what:
        return BriefError("not a valid name", where=f"{file}: {key or 'candidates'}", fix=_NAME_RULE)
    return BriefError(
        f"{what[0].lower()}{what[1:]} (it holds {_value_at(path, table)})",
        where=f"{file}: {key or 'the file'}",
        fix=_allowed_at(path) or "write a value of that kind",
    )


def _meant(field: str, known: list[str], tables: list[str] | None = None) -> str:
    """Return what to do about an unknown key: `known` may stand in its place, and `tables` have it."""
    close = difflib.get_close_matches(field, known, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    if tables and len(tables) <= 3:
        return f"it belongs into {' or '.join(f'[{table}]' for table in tables)}"
    return "remove it, or see docs/brief.md for the keys there are"


def _tables_with(field: str, path: str) -> list[str]:
    """Return the tables of the brief that have such a key: those within the one at a path, or else all."""
    tables = [name for name, kind in _tables(Brief) if field in kind.__struct_fields__]
    within = f"{_named(path)}."
    return [name for name in tables if name.startswith(within)] or tables


def _tables(kind: type[Struct], name: str = "") -> Iterator[tuple[str, type[Struct]]]:
    """Yield the tables within one, with their names in the file."""
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            inner = _join(name, field.encode_name)
            yield inner, field.type
            yield from _tables(field.type, inner)


def _join(key: str, field: str) -> str:
    return f"{key}.{field}" if key else field


def _steps(path: str) -> list[str]:
    return [step for step in re.split(r"[.\[]", path.removeprefix("$")) if step]


def _named(path: str) -> str:
    """Return msgspec's path as people write it: `$.objectives[0].target` becomes `objectives[0].target`."""
    return path.removeprefix("$").removeprefix(".").replace("[...]", "")


def _value_at(path: str, table: Any) -> str:
    value = table
    for step in _steps(path):
        if step.endswith("]") and isinstance(value, list) and step[:-1].isdigit():
            value = value[int(step[:-1])]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            break
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _keys_at(path: str) -> list[str]:
    kind = _type_at(path)
    known = isinstance(kind, type) and issubclass(kind, Struct)
    return [field.encode_name for field in msgspec.structs.fields(kind)] if known else []


def _allowed_at(path: str) -> str:
    """Return the remedy that lists the words allowed at a path, or "" where any value of a kind is."""
    kind = _type_at(path)
    if get_origin(kind) is tuple:  # a list: each of its words is one of these
        kind = get_args(kind)[0]
    if get_origin(kind) is not Literal:
        return ""
    return f"write one of: {', '.join(repr(word) for word in get_args(kind))}"


def _type_at(path: str) -> Any:
    """Return the type that the brief has at msgspec's path, or None where it has sections of any name."""
    kind: Any = Brief
    sections: dict[str, Any] = {"objectives": Objective}
    for step in _steps(path):
        if step.endswith("]"):
            continue
        if not (isinstance(kind, type) and issubclass(kind, Struct)):
            return None
        kind = sections.get(step) or next((f.type for f in msgspec.structs.fields(kind) if f.name == step), None)
    return kind


def _check_objectives(brief: Brief, file: str) -> None:
    if not brief.objectives:
        raise BriefError(
            "no objective",
            where=f"{file}: objectives",
            fix='add [[objectives]] with metric = "accuracy" and target = 0.9, say',
        )
    for index, objective in enumerate(brief.objectives):
        if objective.target is None and not objective.guard:
            raise BriefError(
                f"the objective on {objective.metric!r} has no measurable target",
                where=f"{file}: objectives[{index}].target",
                fix="add `target = NUMBER`, or `guard = true` if it only may not get worse",
            )
        for column in objective.slices:
            if column not in brief.data.slices:
                close = difflib.get_close_matches(column, brief.data.slices, n=1)
                raise BriefError(
                    f"{column!r} is no column of data.slices",
                    where=f"{file}: objectives[{index}].slices",
                    fix=f"did you mean {close[0]!r}?" if close else f'add it there: slices = ["{column}"]',
                )
    if brief.primary.target is None:
        raise BriefError(
            "the first objective ranks the candidates and needs a target",
            where=f"{file}: objectives[0].target",
            fix="add `target = NUMBER`, or put an objective with a target first",
        )


def _check_splits(brief: Brief, file: str) -> None:
    shares = {name: getattr(brief.data.splits, name) for name in SPLITS}
    total = sum(shares.values())
    if abs(total - 1.0) > 1e-6:
        raise BriefError(
            f"the shares add up to {total:g}, not 1",
            where=f"{file}: data.splits",
            fix="write e.g. { train = 0.6, validation = 0.15, test = 0.2, guard = 0.05 }",
        )
    for name in ("train", "validation", "test"):
        if shares[name] <= 0 and not brief.data.split:
            raise BriefError("the share is 0", where=f"{file}: data.splits.{name}", fix="this split is needed")
    if not brief.data.sources or not all(brief.data.sources):
        raise BriefError("no source", where=f"{file}: data.source", fix='write source = "rows.csv", say')
    if brief.data.splits.by == "time" and not brief.data.splits.column:
        fix = "name the column that says when: a date or a number"
        raise BriefError("a split by time needs a column", where=f"{file}: data.splits.column", fix=fix)
    _check_split_rule(brief, file)


def _check_split_rule(brief: Brief, file: str) -> None:
    """Raise BriefError where the rule that splits are drawn by cannot be followed."""
    splits, where = brief.data.splits, f"{file}: data.splits.by"
    if splits.by != "hash" and brief.data.split:
        fix = "remove data.split, or data.splits.by"
        raise BriefError(f"the column {brief.data.split!r} assigns the splits already", where=where, fix=fix)
    if splits.by != "stratified":
        return
    if splits.column and splits.column not in brief.data.slices:
        fix = f"add {splits.column!r} to data.slices"
        raise BriefError("not a column of data.slices", where=f"{file}: data.splits.column", fix=fix)
    if not splits.column and brief.project.task not in ("classify", "extract"):
        fix = "name a column of data.slices as data.splits.column"
        raise BriefError(f"the answers of the task {brief.project.task!r} have no labels", where=where, fix=fix)


def _check_candidates(brief: Brief, file: str) -> None:
    names = list(brief.candidates)
    if not names:
        raise BriefError(
            "no candidate", where=f"{file}: candidates", fix='add [candidates.majority] with kind = "majority"'
        )
    for name, table in brief.candidates.items():
        where = f"{file}: candidates.{name}"
        base, adapted = isinstance(table.get("kind"), str), isinstance(table.get("adapt"), str)
        if base == adapted:
            raise BriefError(
                "a candidate has either a `kind`, or a `parent` and an `adapt`",
                where=where,
                fix='write kind = "features", or parent = "NAME" with adapt = "finetune"',
            )
        if (adapted or "parent" in table) and not isinstance(table.get("parent"), str):
            raise BriefError("a parent is another candidate", where=f"{where}.parent", fix='write parent = "NAME"')
        members = table.get("members", [])
        if not isinstance(members, list):
            raise BriefError("not a list of candidates", where=f"{where}.members", fix='write members = ["A", "B"]')
        single = [(key, [table[key]]) for key in ("parent", "teacher") if key in table]
        for key, made_from in (*single, ("members", members)):
            for other in made_from:
                if other not in names or other == name:
                    raise _unknown_candidate(other, names, f"{where}.{key}")
    for key, wanted in (("gate.baseline", [brief.gate.baseline]), ("release.fallback", brief.release.fallback)):
        for other in wanted:
            if other and other not in names:
                raise _unknown_candidate(other, names, f"{file}: {key}")
    _order_of_making(brief.candidates, file)


def _unknown_candidate(other: object, names: list[str], where: str) -> BriefError:
    close = difflib.get_close_matches(str(other), names, n=1)
    fix = f"did you mean {close[0]!r}?" if close else f"name one of: {', '.join(names)}"
    return BriefError(f"there is no other candidate {other!r}", where=where, fix=fix)


def needs(table: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the candidates that one is made from: its parent and its teacher, or its members."""
    single = [table[key] for key in ("parent", "teacher") if table.get(key)]
    return (*dict.fromkeys(single), *table.get("members", ()))


def _order_of_making(candidates: dict[str, dict[str, Any]], file: str) -> tuple[str, ...]:
    """Return the names so that each comes after those it is made from. Raises BriefError where they form a ring."""
    order: list[str] = []
    waiting = list(candidates)
    while waiting:
        ready = [name for name in waiting if all(other in order for other in needs(candidates[name]))]
        if not ready:
            raise BriefError(
                f"these are made from one another: {', '.join(waiting)}",
                where=f"{file}: candidates",
                fix="break the ring of `parent`, `teacher` and `members`",
            )
        order += ready
        waiting = [name for name in waiting if name not in ready]
    return tuple(order)


def order_of_making(brief: Brief) -> tuple[str, ...]:
    """Return the candidates' names so that each comes after those it is made from."""
    return _order_of_making(brief.candidates, "lifeloop.toml")
