"""Which settings to try next: optuna's proposals, from what was tried so far.

Takes a plan, the brief's own settings and trials that are over, gives settings that were not tried yet. It keeps no
state of its own, so that a search that was killed goes on as if it had not been.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from lifeloop.training.search_log import Tried
from lifeloop.training.search_ranges import Between, SearchPlan

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

PROPOSALS = 40
"""How often another proposal is asked for where one was tried before; then there is taken to be nothing new."""
COMPARED = 2
"""Trials that must have ended before another is given up for being worse than they were."""
AT_RANDOM = 3
"""Trials before the estimator has anything to go by, at least."""


class Asked(Struct, frozen=True):
    """From where proposals are made."""

    plan: SearchPlan
    own: dict[str, Any]
    """The brief's own settings."""
    tried: Sequence[Tried]
    seed: int


def proposed(asked: Asked) -> "tuple[dict[str, Any], Trial] | None":
    """Return settings that were not tried yet and optuna's trial of them, or None where none are found."""
    import optuna

    number, plan = len(asked.tried), asked.plan
    known = [_as_logged(asked.own | tried.chosen) for tried in asked.tried]
    places, history = _distributions(plan), _history(asked)
    for attempt in range(PROPOSALS):
        seed = (asked.seed + 1000 * number + attempt) % 2**32
        begin = max(AT_RANDOM, plan.trials // 3)
        estimated = attempt < PROPOSALS // 2  # which comes back to the same few values where there are few
        samplers = optuna.samplers
        study = optuna.create_study(
            direction="maximize",
            sampler=samplers.TPESampler(n_startup_trials=begin, seed=seed)
            if estimated
            else samplers.RandomSampler(seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=COMPARED, n_warmup_steps=0),
        )
        study.add_trials(history)
        trial = study.ask(places)
        chosen = {key: _value(plan, key, found) for key, found in trial.params.items()}
        if _as_logged(asked.own | chosen) not in known:
            return chosen, trial
    return None


def _history(asked: Asked) -> list[Any]:
    """Return the trials that are over as optuna knows them; settings outside the ranges teach it nothing."""
    from optuna.trial import TrialState, create_trial

    found = []
    for tried in asked.tried:
        params = _params(asked.plan, asked.own | tried.chosen)
        if params is None or (tried.score is None and not tried.stopped):
            continue
        found.append(
            create_trial(
                state=TrialState.PRUNED if tried.stopped else TrialState.COMPLETE,
                value=tried.score,
                params=params,
                distributions=_distributions(asked.plan),
                intermediate_values=dict(enumerate(tried.reported, start=1)),
            )
        )
    return found


def _params(plan: SearchPlan, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return settings as optuna has them, or None where one lies outside its range."""
    params: dict[str, Any] = {}
    for key, wanted in plan.ranges.items():
        value = _as_logged(settings[key])
        if isinstance(wanted, Between):
            if value is None or not wanted.low <= value <= wanted.high:
                return None
            params[key] = value
        else:
            values = _as_logged(wanted.values)
            if value not in values:
                return None
            params[key] = values.index(value)
    return params


def _distributions(plan: SearchPlan) -> "dict[str, BaseDistribution]":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for key, wanted in plan.ranges.items():
        if not isinstance(wanted, Between):
            found[key] = CategoricalDistribution(range(len(wanted.values)))
        elif wanted.whole:
            found[key] = IntDistribution(int(wanted.low), int(wanted.high), log=wanted.log)
        else:
            found[key] = FloatDistribution(wanted.low, wanted.high, log=wanted.log)
    return found


def _value(plan: SearchPlan, key: str, found: Any) -> Any:
    wanted = plan.ranges[key]
    return found if isinstance(wanted, Between) else _as_logged(wanted.values[found])


def _as_logged(value: Any) -> Any:
    """Return a value as it comes back from the log of trials, where tuples are lists."""
    return msgspec.json.decode(msgspec.json.encode(value))
