"""The errors people meet. Each says what was wrong, where, and what to do; the faces print just that.

LifeloopError
├── BriefError    the brief or a prompt: names the file and the key
├── DataError     the data: names the file and the row
├── ModelError    a candidate could not be built, loaded or asked
├── StoreError    the ledger or the vault: locked, full, damaged, out of reach
├── GateError     a decision that may not be taken, such as a release without a verdict
└── GatewayError  a request that cannot be served
"""


class LifeloopError(Exception):
    """Something a person can mend. `what` is wrong, `where` it is, and the `fix` to try."""

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"\n  → {self.fix}" if self.fix else ""
        return f"{place}{self.what}{remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross from a candidate's own process to ours; keyword-only arguments need this.
        return (_rebuild, (type(self), self.what, self.where, self.fix))


def _rebuild(kind: type[LifeloopError], what: str, where: str, fix: str) -> LifeloopError:
    return kind(what, where=where, fix=fix)


class BriefError(LifeloopError):
    """The brief, or a prompt it names, cannot be used."""


class DataError(LifeloopError):
    """The data cannot be used."""


class ModelError(LifeloopError):
    """A candidate cannot be built, loaded or asked."""


class StoreError(LifeloopError):
    """The ledger or the vault cannot be read or written."""


class GateError(LifeloopError):
    """A decision that the evidence does not allow."""


class GatewayError(LifeloopError):
    """A request that cannot be served."""
