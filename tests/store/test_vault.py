import multiprocessing
import os
import pickle
import resource
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifeloop.core.candidates import Message
from lifeloop.core.content import bytes_id, content_id
from lifeloop.core.errors import StoreError
from lifeloop.store.vault import Vault, file_id

anew = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(str(tmp_path / "vault"), cache=tmp_path / "cache")


def stored(vault: Vault) -> list[Path]:
    return sorted(path for path in Path(vault.url).rglob("*") if path.is_file())


# what goes in comes out


@anew
@given(st.binary(max_size=3000))
def test_bytes_come_back_under_their_hash(vault, data):
    identifier = vault.put(data)
    assert identifier == bytes_id(data)
    assert vault.get(identifier) == data
    assert vault.has(identifier)


@anew
@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_values_come_back_under_the_hash_of_their_content(vault, role, content):
    value = Message(role=role, content=content)
    identifier = vault.put_value(value)
    assert identifier == content_id(value)
    assert vault.get_value(identifier, Message) == value


names = st.lists(st.sampled_from(["a", "b c", "ü.json", "model.safetensors"]), min_size=1, max_size=3).map("/".join)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(names, st.binary(max_size=50), max_size=4))
def test_folders_come_back_file_by_file(tmp_path_factory, files):
    base = tmp_path_factory.mktemp("folders")
    vault = Vault(str(base / "vault"), cache=base / "cache")
    folder = base / "made"
    folder.mkdir()
    written = {}
    for name, data in files.items():
        path = folder / name
        if path.exists() or any(parent.is_file() for parent in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written[name] = data
    identifier = vault.put_folder(folder)
    assert vault.put_folder(folder) == identifier
    unpacked = vault.folder(identifier)
    assert {str(p.relative_to(unpacked)): p.read_bytes() for p in unpacked.rglob("*") if p.is_file()} == written


def test_the_same_content_is_kept_once(vault):
    assert vault.put(b"same") == vault.put(b"same")
    assert len(stored(vault)) == 1


def test_nothing_but_whole_artifacts_is_left(vault):
    ids = {vault.put(bytes([number]) * 5000) for number in range(20)}
    assert {path.name for path in stored(vault)} == ids


def test_an_artifact_is_found_by_its_beginning(vault):
    identifier = vault.put(b"something")
    assert vault.resolve(identifier[:4]) == [identifier]
    assert vault.resolve(identifier) == [identifier]
    assert vault.resolve("0000" if not identifier.startswith("0000") else "ffff") == []


def test_a_file_has_the_id_of_its_bytes(tmp_path):
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"GGUF" * 100_000)
    assert file_id(path) == bytes_id(path.read_bytes())


def test_another_process_opens_the_same_vault(vault):
    identifier = vault.put(b"data")
    copy = pickle.loads(pickle.dumps(vault))
    assert (copy.url, copy.cache) == (vault.url, vault.cache)
    assert copy.get(identifier) == b"data"


def test_a_store_in_memory_does_all_of_it(tmp_path):
    vault = Vault(f"memory://{tmp_path.name}", cache=tmp_path / "cache")
    identifier = vault.put(b"data")
    assert vault.get(identifier) == b"data"
    assert vault.resolve(identifier[:6]) == [identifier]
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "head.npy").write_bytes(b"0")
    assert (vault.folder(vault.put_folder(tmp_path / "made")) / "head.npy").read_bytes() == b"0"
    assert pickle.loads(pickle.dumps(vault)).get(identifier) == b"data"


def test_several_at_once_put_and_unpack_the_same(vault, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "weights").write_bytes(os.urandom(100_000))
    found, errors = set(), []

    def work() -> None:
        try:
            folder = vault.folder(vault.put_folder(tmp_path / "made"))
            found.add((folder, (folder / "weights").stat().st_size))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(found) == 1
    assert len(list(vault.cache.iterdir())) == 1


# what can go wrong


@pytest.mark.parametrize("damage", [b"", b"other content", b"conten"])
def test_a_damaged_artifact_is_never_used(vault, damage):
    identifier = vault.put(b"content")
    stored(vault)[0].write_bytes(damage)
    with pytest.raises(StoreError, match="is damaged") as caught:
        vault.get(identifier)
    assert identifier[:12] in caught.value.what
    assert "run again" in caught.value.fix


def test_a_missing_artifact_says_which(vault):
    with pytest.raises(StoreError, match="artifact 0123456789ab is missing") as caught:
        vault.get("0123456789ab" + "0" * 52)
    assert caught.value.where == vault.url
    assert not vault.has("0" * 64)
    assert vault.resolve("0000") == []


def test_an_artifact_of_another_type_says_so(vault):
    value, table = vault.put_value({"role": 3}), vault.put(b"PAR1\x00\xff")
    with pytest.raises(StoreError, match="is not a Message"):
        vault.get_value(value, Message)
    with pytest.raises(StoreError, match="is not a Message"):
        vault.get_value(table, Message)


def test_a_folder_with_a_missing_part_leaves_nothing_half_unpacked(vault, tmp_path):
    (tmp_path / "made").mkdir()
    for name in ("a", "b"):
        (tmp_path / "made" / name).write_text(name)
    identifier = vault.put_folder(tmp_path / "made")
    blob = Path(vault.url) / "objects" / bytes_id(b"b")[:2] / bytes_id(b"b")
    blob.rename(tmp_path / "hidden")
    with pytest.raises(StoreError, match="is missing"):
        vault.folder(identifier)
    assert list(vault.cache.iterdir()) == []

    (tmp_path / "hidden").rename(blob)
    assert (vault.folder(identifier) / "b").read_text() == "b"


def test_a_path_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    vault = Vault(str(tmp_path / "file"), cache=tmp_path / "cache")
    with pytest.raises(StoreError, match="cannot be read or written") as caught:
        vault.put(b"data")
    assert "permissions" in caught.value.fix


def test_an_unknown_kind_of_store_is_refused_at_once(tmp_path):
    with pytest.raises(StoreError) as caught:
        Vault("nosuch://bucket", cache=tmp_path)
    assert "URL" in caught.value.fix


def fill_the_disk(vault: Vault, what: str, folder: Path, pipe) -> None:
    """Do something with the vault where no file may grow beyond 64 KiB, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    try:
        if what == "put":
            vault.put(b"x" * 200_000)
        else:
            vault.folder(vault.resolve(what)[0])
        pipe.send("written")
    except StoreError as error:
        pipe.send(str(error))


def on_a_full_disk(vault: Vault, what: str) -> str:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    worker = spawn.Process(target=fill_the_disk, args=(vault, what, vault.cache, theirs))
    worker.start()
    assert ours.poll(60)
    said = ours.recv()
    worker.join()
    return said


def test_a_full_disk_says_so_and_leaves_nothing_half_written(vault):
    kept = vault.put(b"before")
    assert "the disk is full" in on_a_full_disk(vault, "put")
    assert [path.name for path in stored(vault)] == [kept]
    identifier = vault.put(b"x" * 200_000)
    assert len(vault.get(identifier)) == 200_000


def test_a_cache_on_a_full_disk_leaves_nothing_half_unpacked(vault, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "weights").write_bytes(b"x" * 200_000)
    identifier = vault.put_folder(tmp_path / "made")
    assert "the disk is full" in on_a_full_disk(vault, identifier)
    assert list(vault.cache.iterdir()) == []
    assert vault.folder(identifier).exists()


def test_frozen_values_equal_in_content_share_an_id_whatever_their_type(vault):
    class Twin(msgspec.Struct, frozen=True):
        content: str
        role: str

    assert vault.put_value(Message("user", "hi")) == vault.put_value(Twin(content="hi", role="user"))
