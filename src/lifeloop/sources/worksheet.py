"""A process of its own that reads one sheet of a workbook into an Arrow file: `python -m lifeloop.sources.worksheet`.

The reader holds a whole sheet in memory, in native code that ends its process where memory runs out, and a few bytes
can make a sheet as large as they like (one cell far off is enough). Here that ends with an error, and nothing else.
Takes a path, a sheet's name ("" for the first) and where to write; says on the first line of its output what was wrong.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

from lifeloop.core.errors import DataError

MOST_MEMORY = 6 << 30
"""Bytes of address space that reading one sheet may take."""
BATCH = 10_000
"""Rows that can be read of the Arrow file without the others."""


def read_sheet(path: Path, name: str, sheet: str, into: Path) -> None:
    """Write a sheet's cells as texts to an Arrow file, a row a row from the first one on, with no header.

    Raises DataError where there is no such sheet, or it cannot be read in MOST_MEMORY. `name` is what errors call the
    workbook.
    """
    asked = [sys.executable, "-P", "-m", __name__, str(path), sheet, str(into)]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return
    said = (done.stdout.strip() or done.stderr.strip() or "its reader crashed").splitlines()[0]
    if said.startswith("there is no sheet"):
        raise DataError(said, where=name, fix="set data.sheet to one of those, or leave it out for the first")
    if "password" in said.lower():
        raise DataError("the workbook is protected by a password", where=name, fix="save it without one")
    if "memory" in said.lower():
        fix = f"is a cell used far below or beside the others? Delete it, or save sheet {sheet or 'one'} as CSV"
        raise DataError(f"its sheet takes more than {MOST_MEMORY >> 30} GiB of memory", where=name, fix=fix)
    fix = "it is damaged or was cut short: write or copy it again; a CSV or web page under this name is no workbook"
    raise DataError(f"not a workbook that can be read ({said[:200]})", where=name, fix=fix)


def main(path: str, sheet: str, into: str) -> str:
    """Read a sheet and write it. Return what was wrong, or ""."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    import fastexcel
    import polars as pl

    try:
        workbook = fastexcel.read_excel(path)
        names = workbook.sheet_names
        if not names:
            return "it has no sheets"
        if sheet and sheet not in names:
            return f"there is no sheet {sheet!r}, only {', '.join(names[:20])}"
        cells = workbook.load_sheet(sheet or names[0], header_row=None, skip_rows=0, dtypes="string")
        pl.DataFrame(cells).write_ipc(into, compression="uncompressed", record_batch_size=BATCH)
    except BaseException as error:  # a panic of the reader is no Exception
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return ""


if __name__ == "__main__":
    wrong = main(*sys.argv[1:])
    if wrong:
        sys.stdout.write(wrong + "\n")
        sys.exit(1)
