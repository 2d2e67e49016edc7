"""Raw texts for pre-training: read in each form, and cleared of what judges."""

import msgspec
import pytest

from lifeloop.core.data_brief import PersonalData
from lifeloop.core.errors import BriefError, DataError
from lifeloop.core.progress import silent
from lifeloop.lifecycle.corpora import FILE, files_of, fingerprint, gathered
from lifeloop.project import open_project
from lifeloop.store.vault import Vault
from small_project import CANDIDATES, brief, small_project, texts

PERSONAL = PersonalData()
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


@pytest.fixture
def vault(tmp_path) -> Vault:
    return Vault(f"file://{tmp_path}/vault", tmp_path / "cache")


def documents(vault: Vault, folder: str) -> list[str]:
    lines = vault.get_in(folder, FILE).splitlines()
    return [msgspec.json.decode(line)["text"] for line in lines]


def test_texts_are_parted_by_empty_lines_and_records_have_a_text(tmp_path, vault):
    (tmp_path / "a.txt").write_text("first of them\nstill first\n\n\nsecond of them\n")
    (tmp_path / "b.jsonl").write_text('{"text": "third", "id": 3}\n\n{"text": ""}\n')
    files = files_of(["*.txt", "*.jsonl"], tmp_path, "candidates.x.corpus")
    found = gathered(vault, files, [], PERSONAL, silent)
    assert documents(vault, found.folder) == ["first of them\nstill first", "second of them", "third"]
    assert (found.n_documents, found.n_left_out) == (3, 0)


@pytest.mark.parametrize(
    ("document", "judging", "kept"),
    [
        ("where is my card please", "Where is my card, please?", False),
        ("they asked: where is my card please and left", "Where is my card, please?", False),
        ("where is my other card please", "Where is my card, please?", True),
        (f"before {LONG} after", f"{LONG} and another end", False),
        ("hello and more", "hello", True),  # too short to be more than chance
        ("hello", "Hello!", False),
        ("where is my card please", '[{"content":"Where is my card, please?","role":"user"}]', False),  # a conversation
        ("write to ann@example.com about my card please", "write to [MAIL] about my card please", False),  # as refined
    ],
)
def test_a_document_that_repeats_what_judges_is_left_out(tmp_path, vault, document, judging, kept):
    (tmp_path / "a.txt").write_text(f"{document}\n\nsomething else entirely\n")
    found = gathered(vault, [tmp_path / "a.txt"], [judging], PERSONAL, silent)
    assert (document in documents(vault, found.folder)) is kept
    assert found.n_left_out == (not kept)


def test_personal_data_is_masked_as_in_the_data_itself(tmp_path, vault):
    (tmp_path / "a.txt").write_text("write to ann@example.com about the card\n\nno data of anybody here\n")
    file = [tmp_path / "a.txt"]
    masked = gathered(vault, file, [], PERSONAL, silent)
    assert documents(vault, masked.folder)[0] == "write to [MAIL] about the card"
    aside = gathered(vault, file, [], PersonalData(action="quarantine"), silent)
    assert (documents(vault, aside.folder), aside.n_left_out) == (["no data of anybody here"], 1)
    kept = gathered(vault, file, [], PersonalData(on=False), silent)
    assert "ann@example.com" in documents(vault, kept.folder)[0]


@pytest.mark.parametrize("pattern", ["/etc/*.txt", "**x/*.txt", "../*.txt", "folder.txt"])
def test_only_files_inside_the_project_are_read(tmp_path, pattern):
    (tmp_path / "outside.txt").write_text("not of this project")
    (tmp_path / "project" / "folder.txt").mkdir(parents=True)
    with pytest.raises(BriefError, match="no text file"):
        files_of([pattern], tmp_path / "project", "candidates.x.corpus")


def test_a_corpus_of_nothing_but_what_judges_is_an_error(tmp_path, vault):
    (tmp_path / "a.txt").write_text(LONG)
    with pytest.raises(DataError, match="no document is left"):
        gathered(vault, [tmp_path / "a.txt"], [LONG], PERSONAL, silent)


def test_a_broken_record_and_a_pattern_of_nothing_are_named(tmp_path, vault):
    (tmp_path / "b.jsonl").write_text('{"text": "fine"}\n{"text": 3}\n')
    with pytest.raises(DataError) as caught:
        gathered(vault, [tmp_path / "b.jsonl"], [], PERSONAL, silent)
    assert caught.value.where == "b.jsonl:2"
    with pytest.raises(BriefError) as unknown:
        files_of(["nothing/*.txt"], tmp_path, "candidates.x.corpus")
    assert unknown.value.where == "lifeloop.toml: candidates.x.corpus"


def test_the_fingerprint_changes_with_a_corpus_and_is_empty_without_one(tmp_path):
    folder = small_project(tmp_path / "news", rows=texts(40))
    assert fingerprint(open_project(folder)) == ""
    (folder / "raw.txt").write_text("a text")
    wanted = '\n[candidates.own]\nkind = "scratch"\ncorpus = ["*.txt"]\n'
    (folder / "lifeloop.toml").write_text(brief(candidates=CANDIDATES + wanted))
    before = fingerprint(open_project(folder))
    (folder / "raw.txt").write_text("another text")
    assert before != fingerprint(open_project(folder)) != ""
