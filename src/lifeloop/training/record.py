"""The training record beside a candidate's weights: written by trainers, read by whoever shows it."""

import math
from pathlib import Path

import msgspec

from lifeloop.core.training_record import TrainingRecord

FILE = "training.json"


def save_record(folder: Path, record: TrainingRecord) -> None:
    """Write the record of what was trained to a candidate's folder. A check of what is no number is broken."""
    checks = tuple(
        check if _is_number(check.child) else msgspec.structs.replace(check, child=None, broken=True)
        for check in record.checks
    )
    whole = msgspec.structs.replace(record, checks=checks)
    (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(whole)))


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def load_record(folder: Path) -> TrainingRecord | None:
    """Return the record that lies beside a candidate's weights, or None."""
    file = folder / FILE
    return read_record(file.read_bytes()) if file.exists() else None


def read_record(data: bytes) -> TrainingRecord:
    """Return the record that a file's bytes hold."""
    return msgspec.json.decode(data, type=TrainingRecord)
