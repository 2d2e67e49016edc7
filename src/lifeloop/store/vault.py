"""The vault: artifacts under the hash of their content, in a folder or any fsspec store (`s3://…`, `memory://`).

Bytes, frozen values and folders go in, ids come out. Written to a temporary name and renamed, so that a crash leaves
no half artifact; checked when read, so that a damaged one is never used.
"""

import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lifeloop.core.content import Id, bytes_id, canonical, short
from lifeloop.core.errors import StoreError

T = TypeVar("T")


class Vault:
    """A content-addressed store at an fsspec URL or a path. `cache` is a local folder for unpacked folders."""

    def __init__(self, url: str, cache: Path) -> None:
        from fsspec.core import url_to_fs

        self.url = url
        self.cache = cache
        try:
            self._fs, self._root = url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise StoreError(str(error), where=url, fix="check the vault's URL; s3:// needs lifeloop[s3]") from error

    def __reduce__(self) -> tuple[type["Vault"], tuple[str, Path]]:
        # A candidate's own process opens the same vault again.
        return Vault, (self.url, self.cache)

    def put(self, data: bytes) -> Id:
        """Store bytes and return their id. Raises StoreError where they cannot be written."""
        identifier = bytes_id(data)
        target = self._path(identifier)
        try:
            if not self._fs.exists(target):
                self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
                partial = f"{target}.{secrets.token_hex(4)}.partial"
                try:
                    self._write(partial, data)
                    self._fs.mv(partial, target)
                except OSError:
                    self._discard(partial)
                    raise
        except OSError as error:
            raise _explain(error, self.url) from error
        return identifier

    def get(self, identifier: Id) -> bytes:
        """Return the bytes of an id. Raises StoreError where they are missing or damaged."""
        try:
            data: bytes = self._fs.cat_file(self._path(identifier))
        except FileNotFoundError:
            raise StoreError(
                f"artifact {short(identifier)} is missing", where=self.url, fix="restore the vault from a backup"
            ) from None
        except OSError as error:
            raise _explain(error, self.url) from error
        if bytes_id(data) != identifier:
            raise StoreError(
                f"artifact {short(identifier)} is damaged: its content has another hash",
                where=self.url,
                fix=f"restore {self._path(identifier)} from a backup, or delete it and run again",
            )
        return data

    def has(self, identifier: Id) -> bool:
        """Return whether the vault holds an id."""
        return bool(self._fs.exists(self._path(identifier)))

    def put_value(self, value: Any) -> Id:
        """Store a frozen value as canonical JSON and return its id, which equals `content_id(value)`."""
        return self.put(canonical(value))

    def get_value(self, identifier: Id, kind: type[T]) -> T:
        """Return the frozen value of an id."""
        try:
            return msgspec.json.decode(self.get(identifier), type=kind)
        except msgspec.DecodeError as error:
            raise StoreError(
                f"artifact {short(identifier)} is not a {kind.__name__}: {error}",
                where=self.url,
                fix="it was written by another version of lifeloop; run the stage again",
            ) from None

    def put_folder(self, folder: Path) -> Id:
        """Store every file of a folder and return the id of its manifest (relative path to id)."""
        manifest = {
            str(path.relative_to(folder)): self.put(path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        return self.put_value(manifest)

    def get_in(self, identifier: Id, name: str) -> bytes | None:
        """Return one file of a folder, without unpacking the others; None where the folder has no such file."""
        blob = self.get_value(identifier, dict[str, str]).get(name)
        return self.get(blob) if blob else None

    def folder(self, identifier: Id) -> Path:
        """Return a local folder with the files of a manifest, unpacked on first use. Not to be written to."""
        target = self.cache / identifier
        if target.exists():
            return target
        manifest = self.get_value(identifier, dict[str, str])
        partial = self.cache / f"{identifier}.{secrets.token_hex(4)}.partial"
        try:
            for name, blob in manifest.items():
                path = partial / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.get(blob))
            partial.mkdir(parents=True, exist_ok=True)
            try:
                partial.rename(target)
            except OSError:  # another process unpacked the same content first
                if not target.exists():
                    raise
        except OSError as error:
            raise _explain(error, str(self.cache)) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target

    def resolve(self, prefix: str) -> list[Id]:
        """Return the ids that begin with a prefix of at least four digits."""
        folder = f"{self._root}/objects/{prefix[:2]}"
        if not self._fs.exists(folder):
            return []
        found = (str(path).rpartition("/")[2] for path in self._fs.ls(folder, detail=False))
        return sorted(name for name in found if len(name) == 64 and name.startswith(prefix))

    def _path(self, identifier: Id) -> str:
        return f"{self._root}/objects/{identifier[:2]}/{identifier}"

    def _write(self, path: str, data: bytes) -> None:
        with self._fs.open(path, "wb") as file:
            file.write(data)
            file.flush()
            if "file" in self._protocols():  # the ledger must never name what a power cut can lose
                os.fsync(file.fileno())

    def _protocols(self) -> tuple[str, ...]:
        protocol = self._fs.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    def _discard(self, path: str) -> None:
        if self._fs.exists(path):
            self._fs.rm(path)


def file_id(path: Path) -> Id:
    """Return the id that a file's bytes have, without reading it whole into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _explain(error: OSError, url: str) -> StoreError:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreError("the disk is full", where=url, fix="free some space and run again: finished work is kept")
    return StoreError(f"cannot be read or written ({error})", where=url, fix="check the path and its permissions")
