"""A process of its own that streams a set of the hub: `python -m lifeloop.sources.hub_stream`.

The libraries that read the hub try again for up to half an hour when it does not answer, and threads that they leave
behind crash a process that ends before them. Here whoever waits can stop waiting. Takes a set's name, revision and
subset; says, in lines of JSON, the commit, then rows, some at a time, and at last that it was all or what was wrong.
"""

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.core.errors import DataError
from lifeloop.sources.decoding import repaired
from lifeloop.sources.rows import as_text

ANSWER_SECONDS = 25.0
"""After which a hub that says nothing is given up."""
STALL_SECONDS = 120.0
"""After which a set whose next rows do not come is given up: a large file may be slow to begin."""
BATCH = 1000
"""Rows that are taken from the stream at a time."""

_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "USE_TORCH": "NO",  # else it is loaded, for tensors that nobody asks for
    "USE_TF": "NO",
    "USE_JAX": "NO",
}


class Said(Struct, frozen=True, omit_defaults=True):
    """One line of what the process says."""

    commit: str = ""
    split: str = ""
    has: tuple[str, ...] = ()
    """All columns of the split, before its first rows."""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    """The next ones of the split, as texts, in the order of the columns."""
    whole: bool = False
    """Whether that was all."""
    error: str = ""
    """The kind of error that ended it; `text` is what it says."""
    text: str = ""


@contextmanager
def streamed(name: str, revision: str, subset: str, columns: Sequence[str] | None) -> Iterator[Iterator[Said]]:
    """Give what the hub says of a set: its commit, then the rows of all splits; of all their columns for ().

    None asks for no rows.
    Raises DataError where the hub does not answer in time, or not to the end.
    """
    with tempfile.TemporaryDirectory(prefix="lifeloop-hub-") as cache:
        asked = [
            sys.executable,
            "-P",
            "-m",
            __name__,
            name,
            revision,
            subset,
            msgspec.json.encode(columns).decode(),
            cache,
        ]
        process = subprocess.Popen(
            asked, env={**os.environ, **_ENVIRONMENT}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        try:
            yield _heard(process, name)
        finally:
            process.kill()
            process.communicate()


def _heard(process: "subprocess.Popen[bytes]", name: str) -> Iterator[Said]:
    """Yield what the process says, as long as it says it in time."""
    assert process.stdout is not None
    pipe, begun, unread = process.stdout.fileno(), False, bytearray()
    while True:
        seconds = STALL_SECONDS if begun else ANSWER_SECONDS
        if not select.select([pipe], [], [], seconds)[0]:
            fix = "check the network, and HF_ENDPOINT if you set it; nothing of the set was used"
            raise DataError(f"the hub has not answered for {seconds:g} s", where=f"hub:{name}", fix=fix)
        block = os.read(pipe, 1 << 20)
        if not block:
            what = f"the process that reads the hub ended with exit code {process.wait()}"
            raise DataError(what, where=f"hub:{name}", fix="run again; nothing of the set was used")
        unread += block
        if b"\n" not in block:
            continue
        *lines, rest = bytes(unread).split(b"\n")
        unread = bytearray(rest)
        for line in lines:
            said = msgspec.json.decode(line, type=Said)
            if said.error:
                raise _failed(said, name)
            if said.whole:
                return
            begun = True
            yield said


def _failed(said: Said, name: str) -> DataError:
    if said.error == "ModuleNotFoundError":
        return DataError(said.text, where=f"hub:{name}", fix="pip install 'lifeloop[hub]'")
    if "scripts are no longer supported" in said.text:
        what = "the set is read by code of its own, which is never run"
        fix = 'data.revision = "refs/convert/parquet" is the hub\'s own copy of it, as data files'
        return DataError(what, where=f"hub:{name}", fix=fix)
    fix = _FIXES.get(said.error, "check the network and try again; nothing of the set was used")
    return DataError(f"the set cannot be read: {said.text or said.error}", where=f"hub:{name}", fix=fix)


_FIXES = {
    "RepositoryNotFoundError": "check its name; a private set wants HF_TOKEN in the environment",
    "GatedRepoError": "ask for access on its page, and set HF_TOKEN in the environment",
    "RevisionNotFoundError": "set data.revision to a branch, tag or commit that it has",
    "ValueError": "set data.subset to one that it has",
}


def _tell(said: Said) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


def _tell_rows(name: str, commit: str, subset: str, wanted: Sequence[str], cache: str) -> None:
    """Say the wanted columns of all rows of all splits. Only data files are read: no code that a set may bring."""
    import datasets

    # The prefix keeps it from a folder of that name here; the empty cache, from an older copy if the hub goes away.
    path = f"hf://datasets/{name}"
    found = datasets.load_dataset(path, subset or None, revision=commit, streaming=True, cache_dir=cache)
    for split, rows in found.items():
        features = rows.features or {}
        told = bool(features)
        if told:
            _tell(Said(split=str(split), has=tuple(features)))
            # Pictures and sounds stay the bytes they are: to decode them takes libraries, and rows want texts.
            rows = rows.select_columns([name for name in features if name in wanted or not wanted]).decode(False)
        for batch in rows.iter(BATCH):
            if not told:
                _tell(Said(split=str(split), has=tuple(batch)))
                told = True
            columns = [[_text(value, features.get(name)) for value in values] for name, values in batch.items()]
            _tell(Said(split=str(split), columns=tuple(batch), rows=tuple(zip(*columns, strict=True))))


def _text(value: Any, feature: Any) -> str | None:
    text = as_text(_named(value, feature))
    return text if text is None else repaired(text)


def _named(value: Any, feature: Any) -> Any:
    """Return a value with the names of labels in place of their numbers; a number that is no label is nothing."""
    from datasets import ClassLabel

    if isinstance(feature, ClassLabel):
        if isinstance(value, int):
            return feature.names[value] if 0 <= value < len(feature.names) else None
        return value
    inner = getattr(feature, "feature", None)
    if isinstance(value, list) and inner is not None:
        return [_named(each, inner) for each in value]
    if isinstance(value, Mapping) and isinstance(feature, Mapping):
        return {key: _named(each, feature.get(key)) for key, each in value.items()}
    return value


def main(name: str, revision: str, subset: str, columns: str, cache: str) -> None:
    """Say what was asked for, to the end or to what went wrong."""
    try:
        from huggingface_hub import HfApi

        commit = HfApi().dataset_info(name, revision=revision, timeout=ANSWER_SECONDS).sha
        _tell(Said(commit=str(commit)))
        if (wanted := msgspec.json.decode(columns)) is not None:
            _tell_rows(name, str(commit), subset, wanted, cache)
        _tell(Said(whole=True))
    except Exception as error:
        _tell(Said(error=type(error).__name__, text=" ".join(str(error).split())[:300]))


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # threads of the libraries may still be at work
