"""Majority: always the commonest label. The floor that any candidate has to beat."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.models.model import Model, whole

FILE = "majority.json"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set."""


class Majority:
    """Answers with one label and the share it had in training."""

    batch_size = 256
    concurrency = 64

    def __init__(self, label: str, share: float) -> None:
        self._answer = Answer(output=label, confidence=share)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the same answer to every request."""
        return [self._answer for _ in requests]

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the label, then the answer."""
        return whole(self, request)

    def close(self) -> None:
        """Nothing to free."""


class MajorityKind:
    """Model kind "majority"."""

    settings = Settings
    tasks = ("classify",)
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the model from its one small file."""
        assert folder is not None, "the trainer of this kind always writes a folder"
        label, share = msgspec.json.decode((folder / FILE).read_bytes(), type=tuple[str, float])
        return Majority(label, share)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return next to nothing."""
        return Estimate(memory_gb=0.15, build_seconds=0.1, seconds_per_item=1e-5, basis="a count")


KIND = MajorityKind()
