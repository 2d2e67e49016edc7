"""The versions of a project's data: which there are, and which one people mean.

Reads ledger and vault; changes neither.
"""

import contextlib

from lifeloop.auto import expand
from lifeloop.core.brief import Brief, parse_brief
from lifeloop.core.content import short
from lifeloop.core.data import Dataset, Raw
from lifeloop.core.errors import DataError
from lifeloop.lifecycle.version_log import versions
from lifeloop.project import Project
from lifeloop.reports.data_record import DataVersion
from lifeloop.store.ledger import Ledger
from lifeloop.store.vault import Vault


def data_versions(ledger: Ledger, vault: Vault) -> tuple[DataVersion, ...]:
    """Return every version, oldest first. A cycle that found nothing new makes none."""
    found: list[DataVersion] = []
    for run in versions(ledger):
        if found and run.output == found[-1].id:
            continue
        dataset = vault.get_value(run.output, Dataset)
        n_raw = vault.get_value(dataset.raw, Raw).n_rows
        found.append(DataVersion(len(found) + 1, run.output, run.cycle, run.at, dataset.counts, n_raw))
    return tuple(found)


def version_named(ledger: Ledger, vault: Vault, name: str = "") -> DataVersion:
    """Return the version that a name means: "" the last, a cycle's number, or the beginning of a dataset's id.

    A cycle that found the data unchanged has the version of the cycle before. Raises DataError where there is no such
    version, or several.
    """
    versions = data_versions(ledger, vault)
    if not versions:
        raise DataError("there is no version of the data yet", where=ledger.name, fix="`lifeloop data build` makes one")
    if not name:
        return versions[-1]
    wanted = name.casefold()
    if wanted.isdecimal() and len(wanted) < 6:  # an id of decimal digits alone is written with six of them or more
        return _of_cycle(ledger, versions, int(wanted))
    found = {version.id: version for version in versions if version.id.startswith(wanted)}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        named = ", ".join(short(identifier) for identifier in list(found)[:5])
        raise DataError(f"{len(found)} versions begin with {name!r}", where=ledger.name, fix=f"say which: {named}")
    fix = f"{_listed(versions)}; `lifeloop data list` shows all"
    raise DataError(f"there is no version {name!r} of the data", where=ledger.name, fix=fix)


def version_before(ledger: Ledger, vault: Vault, version: DataVersion) -> DataVersion | None:
    """Return the version before one, or None for the first."""
    return next((each for each in data_versions(ledger, vault) if each.number == version.number - 1), None)


def brief_of(ledger: Ledger, vault: Vault, version: DataVersion) -> Brief:
    """Return the brief of the cycle that made a version."""
    from lifeloop.lifecycle.cycle import BriefSource  # with it comes all that a cycle does, which a list does not need

    row = next(row for row in ledger.cycles() if row.number == version.cycle)
    return expand(parse_brief(vault.get_value(row.brief, BriefSource).text))


def opened_version(project: Project, name: str = "") -> tuple[DataVersion, Brief, Vault]:
    """Return a version of a project, the brief it was made by, and the vault that it is in. Raises DataError."""
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        version = version_named(ledger, vault, name)
        return version, brief_of(ledger, vault, version), vault


def _of_cycle(ledger: Ledger, versions: tuple[DataVersion, ...], cycle: int) -> DataVersion:
    upto = [version for version in versions if version.cycle <= cycle]
    if not upto or not any(row.number == cycle for row in ledger.cycles()):
        what = f"there is no version of the data of cycle {cycle}"
        raise DataError(what, where=ledger.name, fix=f"{_listed(versions)}; `lifeloop data list` shows all")
    return upto[-1]


def _listed(versions: tuple[DataVersion, ...]) -> str:
    last = versions[-3:]
    return f"the last are {', '.join(f'{short(version.id)} (cycle {version.cycle})' for version in last)}"
