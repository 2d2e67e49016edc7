"""Plan: what every candidate will need on this machine and data, whether the budget holds it, whether the test split
can settle the objectives, and whether to go narrow or broad. Nothing is spent.
"""

from typing import Any

import msgspec

from lifeloop import plugins
from lifeloop.core.brief import Brief, convert_settings, needs, order_of_making
from lifeloop.core.candidates import Estimate, Machine
from lifeloop.core.data import Profile
from lifeloop.core.planning import ItemsNeeded, Plan, PlanLine
from lifeloop.models.model import ModelKind
from lifeloop.stages.adapt import NOT_SETTINGS, SEARCH
from lifeloop.stats import power
from lifeloop.tasks.task import Task
from lifeloop.training.trainer import Trainer

VERSION = "2"
ESCALATED = 0.3
"""Share of the items that a cascade is assumed to pass on."""
DISCORDANCE = 0.1
"""Share of items on which two good candidates are assumed to differ."""
BROAD_KINDS = ("llamacpp", "transformers", "remote")
TRIALS = 8
"""Settings that a search tries where the brief does not say."""
CALLS = ("budget_calls", "calls")
"""Settings by which an adaptation bounds how often it asks its parent."""
FINETUNE_PASSES = 3.0
"""A training step costs about three passes: forward, and twice that backward."""


def plan(brief: Brief, profile: Profile, machine: Machine) -> Plan:
    """Return the plan. Raises BriefError where a candidate's settings are wrong."""
    estimates: dict[str, Estimate] = {}
    for name in order_of_making(brief):
        estimates[name] = _estimate(name, brief.candidates[name], estimates, profile, machine)
    items = profile.n_validation if not brief.explore.max_items else min(profile.n_validation, brief.explore.max_items)
    lines = tuple(_line(name, brief, estimates[name], items) for name in brief.candidates)
    seconds = sum(line.estimate.build_seconds + line.trial_seconds for line in lines)
    seconds += _evaluation_seconds(lines, profile)
    usd = sum(line.usd for line in lines)
    memory = max(line.estimate.memory_gb for line in lines)
    within = seconds <= 60 * brief.budget.minutes and usd <= brief.budget.usd + 1e-9
    scope, reasons = _advice(brief, profile, lines)
    return Plan(
        machine=machine,
        profile=profile,
        lines=lines,
        seconds=seconds,
        usd=usd,
        memory_gb=memory,
        within_budget=within and not any(line.too_much for line in lines),
        items=tuple(_items_needed(brief, profile)),
        scope=scope,
        reasons=reasons,
    )


def kind_of(name: str, candidates: dict[str, dict[str, Any]]) -> str:
    """Return the model kind of a candidate: its own, or that of the candidate it is adapted from."""
    table = candidates[name]
    return str(table["kind"]) if "kind" in table else kind_of(table["parent"], candidates)


def _estimate(
    name: str, table: dict[str, Any], known: dict[str, Estimate], profile: Profile, machine: Machine
) -> Estimate:
    if "adapt" in table:
        return _adapted(name, table, known[table["parent"]], profile)
    settings = {key: value for key, value in table.items() if key not in NOT_SETTINGS}
    kind: ModelKind = plugins.get("models", table["kind"], where=f"lifeloop.toml: candidates.{name}.kind")
    own = kind.estimate(
        convert_settings(settings, kind.settings, f"candidates.{name}", "lifeloop.toml"), profile, machine
    )
    seconds, searched = _searched(own.build_seconds, table)
    own = msgspec.structs.replace(own, build_seconds=seconds, basis=own.basis + searched)
    members = [known[member] for member in needs(table)]
    shares = [1.0, *[ESCALATED] * (len(members) - 1)] if members else []
    return msgspec.structs.replace(
        own,
        memory_gb=own.memory_gb + sum(member.memory_gb for member in members),
        seconds_per_item=own.seconds_per_item
        + sum(share * member.seconds_per_item for share, member in zip(shares, members, strict=True)),
        usd_per_item=own.usd_per_item
        + sum(share * member.usd_per_item for share, member in zip(shares, members, strict=True)),
    )


def _adapted(name: str, table: dict[str, Any], parent: Estimate, profile: Profile) -> Estimate:
    """Return the estimate of a candidate that is its parent with other weights, or asked in other words."""
    calls = _calls(name, table)
    if calls:
        return msgspec.structs.replace(
            parent, build_seconds=5.0 + calls * parent.seconds_per_item, basis=f"at most {calls} calls of its parent"
        )
    settings = _adaptation_settings(name, table)
    passes = FINETUNE_PASSES * getattr(settings, "epochs", 1 / FINETUNE_PASSES)
    seconds, basis = _searched(profile.n_train * parent.seconds_per_item * passes, table)
    minutes = getattr(settings, "minutes", 0) * (table.get(SEARCH, {}).get("trials", TRIALS) if SEARCH in table else 1)
    return msgspec.structs.replace(
        parent,
        memory_gb=parent.memory_gb * 1.6,
        build_seconds=5.0 + (min(seconds, 60 * minutes) if minutes else seconds),
        basis=f"{passes:.0f} passes over {profile.n_train} examples{basis}",
    )


def _searched(seconds: float, table: dict[str, Any]) -> tuple[float, str]:
    """Return what a search makes of the time of one training, and how that is said."""
    if SEARCH not in table:
        return seconds, ""
    trials, minutes = table[SEARCH].get("trials", TRIALS), table[SEARCH].get("minutes")
    whole = trials * seconds
    return (min(whole, max(60 * minutes, seconds)) if minutes else whole), f", {trials} settings"


def _adaptation_settings(name: str, table: dict[str, Any]) -> Any:
    """Return the settings of an adaptation, complete with defaults. Raises BriefError."""
    trainer: Trainer = plugins.get("adaptations", table["adapt"], where=f"lifeloop.toml: candidates.{name}.adapt")
    rest = {key: value for key, value in table.items() if key not in NOT_SETTINGS}
    assert trainer.settings is not None, "an adaptation always has settings"
    return convert_settings(rest, trainer.settings, f"candidates.{name}", "lifeloop.toml")


def _calls(name: str, table: dict[str, Any]) -> int:
    """Return how often making an adapted candidate may ask its parent; 0 where it learns from examples instead."""
    if "adapt" not in table:
        return 0
    settings = _adaptation_settings(name, table)
    return next((int(getattr(settings, key)) for key in CALLS if hasattr(settings, key)), 0)


def _line(name: str, brief: Brief, estimate: Estimate, items: int) -> PlanLine:
    times = brief.explore.repeats if brief.candidates[name].get("temperature") else 1  # the others answer alike
    seconds = times * items * estimate.seconds_per_item
    usd = (times * items + _calls(name, brief.candidates[name])) * estimate.usd_per_item
    too_much = []
    if estimate.memory_gb > brief.budget.memory_gb:
        too_much.append(f"memory: {estimate.memory_gb:.1f} of {brief.budget.memory_gb:g} GB")
    if estimate.build_seconds + seconds > 60 * brief.budget.minutes:
        too_much.append(f"time: {(estimate.build_seconds + seconds) / 60:.0f} of {brief.budget.minutes:g} min")
    if usd > brief.budget.usd + 1e-9:
        too_much.append(f"money: {usd:.2f} of {brief.budget.usd:g} USD")
    return PlanLine(
        name=name,
        kind=kind_of(name, brief.candidates),
        estimate=estimate,
        trial_seconds=seconds,
        usd=usd,
        too_much="; ".join(too_much),
    )


def _evaluation_seconds(lines: tuple[PlanLine, ...], profile: Profile) -> float:
    """Return the time of the gate's trials, for a challenger of middling speed: nobody knows yet which it will be."""
    speeds = sorted(line.estimate.seconds_per_item for line in lines)
    return 2 * speeds[len(speeds) // 2] * (profile.n_test + profile.n_guard)


def _items_needed(brief: Brief, profile: Profile) -> list[ItemsNeeded]:
    gate, found = brief.gate, []
    task: Task = plugins.get("tasks", brief.project.task)
    for objective in brief.objectives:
        target, metric = objective.target, task.metrics.get(objective.metric)
        if target is None or metric is None or metric.direction == "min" or not 0.0 < target < 1.0:
            continue  # the formula is for a share that is to lie above its target
        hoped = min(1.0, target + max(gate.effect, (1 - target) / 3))
        found.append(
            ItemsNeeded(
                question=f"is {objective.metric} above {target:g}?",
                needed=power.items_for_target(target, hoped, gate.confidence, gate.power),
                available=profile.n_test,
                basis=f"if it really is {hoped:.3g}",
            )
        )
    discordance = max(DISCORDANCE, gate.effect)
    found.append(
        ItemsNeeded(
            question=f"is the challenger better by {gate.effect:g}?",
            needed=power.items_for_any_look(gate.effect, discordance, gate.confidence, gate.power),
            available=profile.n_test,
            basis=f"if they differ on {discordance:.0%} of the examples, however often the gate looks; "
            f"{profile.n_test} examples find {_smallest(profile, discordance, brief):.3f}",
        )
    )
    return found


def _smallest(profile: Profile, discordance: float, brief: Brief) -> float:
    return power.smallest_at_any_look(profile.n_test, discordance, brief.gate.confidence, brief.gate.power)


def _advice(brief: Brief, profile: Profile, lines: tuple[PlanLine, ...]) -> tuple[str, tuple[str, ...]]:
    """Return narrow, broad or both, and the reasons."""
    if brief.project.scope != "auto":
        return brief.project.scope, (f"the brief says so (project.scope = {brief.project.scope!r})",)
    reasons = []
    per_label = profile.n_train / max(1, profile.n_labels)
    closed = brief.project.task in ("classify", "extract")
    if closed and per_label >= 20:
        scope = "narrow"
        reasons.append(f"{brief.project.task} with {per_label:.0f} training examples a label: enough for a specialist")
    elif closed:
        scope = "both"
        reasons.append(f"{per_label:.0f} training examples a label are few: a broad model may know more than the data")
    else:
        scope = "broad" if profile.n_train < 5000 else "both"
        reasons.append(f"{brief.project.task}: answers are free text, which broad models are made for")
    narrow = [line for line in lines if line.kind not in (*BROAD_KINDS, "majority", "cascade", "abstain")]
    broad = [line for line in lines if line.kind in BROAD_KINDS]
    if narrow and broad:
        factor = min(b.estimate.seconds_per_item for b in broad) / max(
            1e-9, min(n.estimate.seconds_per_item for n in narrow)
        )
        reasons.append(f"the fastest broad candidate takes about {factor:.0f} times as long as the fastest specialist")
    if broad and profile.n_labels > 50:
        reasons.append(f"{profile.n_labels} labels make a long prompt and a hard choice for a small broad model")
    if over := [line.name for line in lines if line.too_much]:
        reasons.append(f"over the budget: {', '.join(over)}")
    return scope, tuple(reasons)
