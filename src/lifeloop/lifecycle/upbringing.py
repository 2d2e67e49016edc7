"""Where the candidates of a leaderboard come from: whom they were adapted from, how they were trained, and by which
preferences they were aligned. Reads the vault; changes nothing.
"""

import contextlib

from lifeloop.core.candidates import Candidate
from lifeloop.core.errors import GateError
from lifeloop.core.evidence import Leaderboard, Verdict
from lifeloop.core.preferences import Preferences
from lifeloop.core.training_record import TrainingRecord
from lifeloop.project import Project
from lifeloop.store.ledger import Ledger
from lifeloop.store.vault import Vault
from lifeloop.training.record import FILE, read_record


def parents_of(vault: Vault, board: Leaderboard) -> dict[str, str]:
    """Return the name of each adapted candidate's parent, by the candidate's name."""
    found = {}
    for standing in board.standings:
        if standing.candidate:
            parent = vault.get_value(standing.candidate, Candidate).parent
            if parent:
                found[standing.name] = vault.get_value(parent, Candidate).name
    return found


def training_of(vault: Vault, board: Leaderboard) -> dict[str, TrainingRecord]:
    """Return the training record of each candidate that has one, best candidate first."""
    made = {standing.name: standing.candidate for standing in board.standings if standing.candidate}
    records = {name: record_of(vault, vault.get_value(candidate, Candidate)) for name, candidate in made.items()}
    return {name: record for name, record in records.items() if record is not None}


def trained(project: Project, name: str = "") -> dict[str, TrainingRecord]:
    """Return how the candidates of the last leaderboard were trained, or the named one alone.

    Raises GateError where nothing was made yet, and where the named one kept no record.
    """
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        found = training_of(vault, last_board(ledger, vault))
        if name and name not in found:
            known = ", ".join(found) or "none"
            raise GateError(
                f"there is no record of a training of {name!r}", where=ledger.name, fix=f"those with one: {known}"
            )
        return {name: found[name]} if name else found


def record_of(vault: Vault, candidate: Candidate) -> TrainingRecord | None:
    """Return how a candidate was trained, or None where its training kept no record."""
    data = vault.get_in(candidate.files, FILE) if candidate.files else None
    return read_record(data) if data is not None else None


def preferences_of(vault: Vault, board: Leaderboard) -> Preferences | None:
    """Return the preferences that candidates of a leaderboard were aligned by, or None where none was."""
    made = [vault.get_value(standing.candidate, Candidate) for standing in board.standings if standing.candidate]
    found = next((candidate.preferences for candidate in made if candidate.preferences), "")
    return vault.get_value(found, Preferences) if found else None


def last_board(ledger: Ledger, vault: Vault) -> Leaderboard:
    """Return the leaderboard of the last verdict, or of a later cycle that has none yet. Raises GateError."""
    boards = [row for row in ledger.runs() if row.subject == "leaderboard"]
    if not boards:
        raise GateError("there is no leaderboard yet", where=ledger.name, fix="`lifeloop run` makes one")
    decided = ledger.verdicts()
    if decided and decided[-1].cycle >= boards[-1].cycle:  # it may rest on a leaderboard of an earlier cycle
        return vault.get_value(vault.get_value(decided[-1].id, Verdict).leaderboard, Leaderboard)
    return vault.get_value(boards[-1].output, Leaderboard)
