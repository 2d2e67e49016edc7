"""How a candidate was trained: its curve, what happened on the way, and how the child compares with its parent.

Written by trainers beside the weights (`training.json`), read by reports and the command line. Holds no clock times, so
that the same training gives the same record; how long it took is in the ledger.
"""

from typing import Any

from msgspec import Struct


class Point(Struct, frozen=True, omit_defaults=True):
    """One place of the curve. What was not measured there is None."""

    step: int
    loss: float | None = None
    """On what was trained on since the point before."""
    validation_loss: float | None = None
    score: float | None = None
    """Of what is watched on validation (the brief's metric, accuracy of preferences, …): more is better."""
    reward: float | None = None
    """What alignment maximises: the reward margin, or the mean reward."""


class Check(Struct, frozen=True):
    """One thing that training may have broken, measured on parent and child alike."""

    name: str
    """In words: "capabilities outside the task", "paired names", "trigger probe", …"""
    parent: float | None
    """None where what was measured is no number, as of weights that diverged."""
    child: float | None
    limit: float
    """How much worse than the parent still counts as equal."""
    broken: bool
    n: int
    note: str = ""


class Ablation(Struct, frozen=True):
    """What the same training gives with the quarantined preferences left in."""

    name: str
    """What was measured."""
    parent: float | None
    guarded: float | None
    """Trained on what is trusted."""
    unguarded: float | None
    """Trained on everything."""
    n: int


class TrainingRecord(Struct, frozen=True):
    """The record of one training."""

    method: str
    """The adaptation, and how: "sft (LoRA, rank 16)", say."""
    seed: int
    n_examples: int
    settings: dict[str, Any] = {}
    """Those it was trained with in the end."""
    curve: tuple[Point, ...] = ()
    best_step: int = 0
    """The step whose weights were kept; 0 for the last."""
    events: tuple[str, ...] = ()
    """What happened, in sentences: the batch lowered, resumed at a step, stopped early and why."""
    checks: tuple[Check, ...] = ()
    kl_to_parent: float | None = None
    """Mean KL divergence from the parent a token of the answer, in nats, on validation inputs."""
    ablations: tuple[Ablation, ...] = ()
    search: tuple["SearchTrial", ...] = ()


class SearchTrial(Struct, frozen=True):
    """One setting that a search tried."""

    settings: dict[str, Any]
    score: float | None
    """None where it failed."""
    stopped: bool = False
    """Whether it was given up early, as a loser."""
