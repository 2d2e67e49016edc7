"""The training record beside a candidate's weights: written by trainers, read by whoever shows it."""

from pathlib import Path

import msgspec

from lifeloop.core.training_record import TrainingRecord

FILE = "training.json"


def save_record(folder: Path, record: TrainingRecord) -> None:
    """Write the record of what was trained to a candidate's folder."""
    (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(record)))


def load_record(folder: Path) -> TrainingRecord | None:
    """Return the record that lies beside a candidate's weights, or None."""
    file = folder / FILE
    return read_record(file.read_bytes()) if file.exists() else None


def read_record(data: bytes) -> TrainingRecord:
    """Return the record that a file's bytes hold."""
    return msgspec.json.decode(data, type=TrainingRecord)
