"""Bad briefs, prompts and data: each gives a clear error that names the place, or a row set aside with its reason."""

import os
from pathlib import Path

import pytest

from lifeloop.cli.progress import Screen
from lifeloop.core.data import Dataset, RowFate
from lifeloop.lifecycle.runner import Notice
from lifeloop.project import open_project
from lifeloop.store.tables import from_parquet, table_to_fates
from small_project import (
    CANDIDATES,
    DATA,
    OBJECTIVES,
    SOURCE,
    assert_clear,
    call,
    edit,
    ledger_of,
    lifeloop,
    small_project,
    texts,
    write_csv,
)

PROMPTED = '[candidates.far]\nkind = "remote"\nurl = "http://127.0.0.1:9/v1"\nmodel = "any"\nprompt = "main"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return small_project(tmp_path / "news")


def prompt(folder: Path, system: str = "Sort. {{ instructions }}", user: str = "{{ text }}") -> None:
    place = folder / "prompts" / "main"
    place.mkdir(parents=True, exist_ok=True)
    (place / "system.md").write_text(system, encoding="utf-8")
    (place / "user.md").write_text(user, encoding="utf-8")
    edit(folder, candidates=CANDIDATES + PROMPTED)


def fates(folder: Path) -> dict[str, RowFate]:
    vault = open_project(folder).open_vault()
    with ledger_of(folder) as ledger:
        refined = [row for row in ledger.runs() if row.stage == "refine"][-1]
    found = vault.get_value(refined.output, Dataset)
    tables = [from_parquet(vault.get(part.fates)) for part in found.parts]
    return {each.source: each for table in tables for each in table_to_fates(table)}


# the brief


def test_a_folder_without_a_brief_says_how_to_make_one(tmp_path):
    for name in ("plan", "run", "status", "why", "report", "serve"):
        assert_clear(call("-C", tmp_path, name), "lifeloop.toml: there is no brief here", "lifeloop new")


def test_a_folder_that_is_none_is_no_project(tmp_path):
    assert_clear(call("-C", tmp_path / "nowhere", "status"), "nowhere")


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        (b"\xff\xfe[project]", ["lifeloop.toml", "UTF-8"]),
        (b'[project]\nname = news\ntask = "classify"\n', ["lifeloop.toml", "not valid TOML", "line 2"]),
        (b"", ["lifeloop.toml: project", "missing key"]),
        (b"\0", ["lifeloop.toml", "not valid TOML"]),
    ],
)
def test_a_brief_that_cannot_be_read(project, written, parts):
    (project / "lifeloop.toml").write_bytes(written)

    for name in ("plan", "status"):
        assert_clear(call("-C", project, name), *parts)


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        (
            {"rest": "[budget]\nminuts = 3\n"},
            ["lifeloop.toml: budget.minuts", "unknown key", "did you mean `minutes`?"],
        ),
        (
            {"candidates": CANDIDATES + "word_ngram = [1, 2]\n"},
            ["tfidf.word_ngram", "unknown"],
        ),
        (
            {"objectives": OBJECTIVES.replace('"accuracy"', '"acuracy"')},
            ["objectives[0].metric", "'acuracy'", "accuracy"],
        ),
        ({"objectives": ""}, ["lifeloop.toml: objectives", "missing key"]),
        ({"objectives": OBJECTIVES.replace("0.5", '"high"')}, ["objectives[0].target", "it holds 'high'"]),
        (
            {"candidates": CANDIDATES.replace("features", "feature")},
            ["tfidf.kind", "'feature'", "did you mean 'features'"],
        ),
        ({"candidates": CANDIDATES + '[candidates.names]\nkind = "gazetteer"\n'}, ["names.kind", "cannot do classify"]),
        ({"candidates": CANDIDATES + '[candidates.Far]\nkind = "majority"\n'}, ["lifeloop.toml", "not a valid name"]),
        (
            {"candidates": CANDIDATES + '[candidates.c]\nkind = "cascade"\nmembers = ["tfidf", "nobody"]\n'},
            ["c.members"],
        ),
        ({"candidates": CANDIDATES + '[candidates.a]\nparent = "tfidf"\nadapt = "bend"\n'}, ["a.adapt", "'bend'"]),
        ({"rest": '[gate]\nbaseline = "nobody"\n'}, ["gate.baseline", "'nobody'", "majority, tfidf"]),
        ({"data": SOURCE + "splits = { train = 0.9, validation = 0.9 }\n"}, ["data.splits", "add up to"]),
        ({"data": '[data]\nsource = "absent.csv"\n'}, ["absent.csv", "no such file", "did you mean 'data.csv'?"]),
        (
            {"data": DATA + 'input = "txt"\n'},
            ["data.csv", "there is no column 'txt'", "did you mean 'text'?", "data.input"],
        ),
        ({"data": DATA + 'encoding = "utf-9"\n'}, ["data.encoding", "'utf-9'"]),
        ({"data": DATA + 'format = "parquet"\n'}, ["data.csv"]),
    ],
)
def test_a_wrong_word_in_the_brief_names_its_key_and_the_remedy(project, changed, parts):
    edit(project, **changed)

    assert_clear(call("-C", project, "plan"), *parts)


def test_a_bad_brief_never_starts_a_cycle(project):
    edit(project, rest="[budget]\nminuts = 3\n")

    assert_clear(lifeloop("-C", project, "run"), "budget.minuts")

    assert not (project / ".lifeloop").exists()


# prompts


def test_a_missing_prompt_names_the_file_to_write(project):
    edit(project, candidates=CANDIDATES + PROMPTED)

    assert_clear(call("-C", project, "plan"), "prompts/main/system.md", "there is no such file")


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ({"user": "Sort this."}, ["prompts/main/user.md", "{{ text }}"]),
        ({"user": "{{ text }"}, ["prompts/main/user.md"]),
        ({"system": "{% if %}"}, ["prompts/main/system.md"]),
        ({"system": "{{ nothing_of_the_kind }}"}, ["prompts/main/system.md", "nothing_of_the_kind"]),
        ({"system": "{{ 1 / 0 }}"}, ["prompts/main/system.md"]),
        ({"system": "{{ ''.__class__.__mro__ }}"}, ["prompts/main/system.md"]),
    ],
)
def test_a_prompt_that_does_not_work_is_found_before_anything_is_spent(project, written, parts):
    prompt(project, **written)

    assert_clear(call("-C", project, "plan"), *parts)


def test_a_prompt_is_the_name_of_a_folder_and_no_way_out_of_it(project):
    edit(project, candidates=CANDIDATES + PROMPTED.replace('"main"', '"../news"'))

    assert_clear(call("-C", project, "plan"), "'../news'", "prompts/")


# data that cannot be used at all


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        (b"", ["data.csv", "the file is empty"]),
        (b"\n \n", ["data.csv", "the file is empty"]),
        (b"text,label\n", ["data.csv", "a header, but no rows"]),
        (b"text\nhello\n", ["data.csv", "there is no column 'label'", "data.reference"]),
        (b"text,label,text\na,b,c\n", ["data.csv", "two columns 'text'"]),
        (b"text,label\n" + "".join(f"grüße {n},süß\n" for n in range(50)).encode("latin-1"), ["data.csv", "cp1252"]),
        ("text,label\nhello,a\n".encode("utf-16"), ["data.csv", "utf-16"]),
        ("text,label\n" + "".join(f"text {n},only\n" for n in range(50)), ["'only'", "two labels or more"]),
        ("text,label\n" + "".join(f"text {n},\n" for n in range(50)), ["none of 50 rows can be used", "data.csv:2"]),
    ],
)
def test_data_that_cannot_be_used(project, written, parts):
    (project / "data.csv").write_bytes(written if isinstance(written, bytes) else written.encode())

    said = call("-C", project, "plan")

    assert_clear(said, *parts)
    assert_clear(call("-C", project, "run"), *parts)


def test_too_few_rows_for_a_split(project):
    write_csv(project / "data.csv", texts(16))
    edit(project, data=SOURCE + "splits = { train = 0.97, validation = 0.01, test = 0.01, guard = 0.01 }\n")

    assert_clear(call("-C", project, "plan"), "data.splits", "no row is left for validation and test", "train 0.97")


def test_a_source_that_is_no_table_says_which_endings_are(project):
    (project / "data.docx").write_bytes(b"PK\x03\x04")
    edit(project, data='[data]\nsource = "data.docx"\n')

    assert_clear(call("-C", project, "plan"), "data.docx", ".csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_data_that_may_not_be_read(project):
    (project / "data.csv").chmod(0)

    assert_clear(call("-C", project, "plan"), "data.csv", "permission")


# rows that cannot be used


def test_a_bad_row_is_set_aside_with_its_reason_and_sinks_nothing(project):
    good = [(f"id{n}", text, label) for n, (text, label) in enumerate(texts(noise=0))]
    bad = [
        ("id-nul", "with a \0 in it", "sport"),
        ("id-long", "long " * 1_000_000, "sport"),
        ("id3", "an id that was there before", "sport"),
        ("id-typo", "a stadium and a trophy", "sprot"),
        ("id-case", "a league and a coach", "SPORT"),
        ("id-none", "a match without a label", ""),
        ("id-blank", "   ", "sport"),
        ("id-two", "said in two ways", "sport"),
        ("id-ways", "said in two ways", "money"),
        ("id-rare", "nobody else is about this", "astronomy"),
    ]
    write_csv(project / "data.csv", good + bad, ("key", "text", "label"))
    edit(project, data=DATA + 'id = "key"\n')

    assert call("-C", project, "plan").code == 0

    found = fates(project)
    became = {row[0]: found[f"data.csv:{len(good) + 2 + n}"] for n, row in enumerate(bad)}
    assert len(found) == len(good) + len(bad), "every row is accounted for"
    reasons = {
        "id-nul": "a NUL byte",
        "id-long": "long",
        "id-typo": "looks like a typing error",
        "id-none": "label",
        "id-blank": "input",
        "id-two": "the same text with different labels",
        "id-ways": "the same text with different labels",
    }
    for name, reason in reasons.items():
        assert became[name].fate == "quarantined", (name, became[name])
        assert reason in f"{became[name].reason} {became[name].detail}", became[name]
    assert became["id-case"].fate == "kept"
    assert "'SPORT' is written 'sport'" in became["id-case"].detail
    assert "id" in became["id3"].reason + became["id3"].detail
    assert sum(each.fate == "kept" for each in found.values()) >= len(good) - 1


# what is around


@pytest.mark.parametrize("name", ["status", "plan", "run", "why", "report"])
def test_a_damaged_ledger_is_named_and_left_as_it_is(finished, name):
    ledger = finished / ".lifeloop" / "ledger.db"
    for beside in finished.glob(".lifeloop/ledger.db-*"):
        beside.unlink()
    ledger.write_bytes(b"this was a ledger once " * 500)

    assert_clear(call("-C", finished, name), "ledger.db", "backup")

    assert ledger.read_bytes().startswith(b"this was a ledger once")


def test_a_ledger_cut_short_is_an_error_too(finished):
    ledger = finished / ".lifeloop" / "ledger.db"
    ledger.write_bytes(ledger.read_bytes()[: ledger.stat().st_size // 2])

    assert_clear(call("-C", finished, "run"), "ledger.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written(project):
    project.chmod(0o555)
    try:
        assert_clear(call("-C", project, "plan"), ".lifeloop", "permissions")
    finally:
        project.chmod(0o755)


def test_a_state_folder_that_is_a_file(project):
    (project / ".lifeloop").write_text("in the way")

    assert_clear(call("-C", project, "plan"), ".lifeloop")
    assert_clear(call("-C", project, "run"), ".lifeloop")


def test_a_folder_whose_name_no_ledger_url_can_hold(tmp_path):
    folder = small_project(tmp_path / "is it?")

    assert_clear(call("-C", folder, "plan"), "is it?", "rename the folder")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["is it?"]


@pytest.mark.parametrize("name", ["with space", "100%", "a+b", "ünï-çödé"])
def test_any_other_folder_will_do(tmp_path, name):
    folder = small_project(tmp_path / name)

    assert call("-C", folder, "plan").code == 0

    assert "cycle 1" in call("-C", folder, "status").out


def test_a_wrong_command_shows_how_it_is_used():
    for wrong in (["reun"], ["run", "--fast"], ["compare", "one"], ["new", "x"], ["report", "first"]):
        said = call(*wrong)
        assert said.code == 2
        assert "Usage: " in said.err


def test_whom_the_last_cycle_does_not_know(finished):
    assert_clear(call("-C", finished, "compare", "tfidf", "tfidf"), "cannot be better than itself", "two candidates")
    assert_clear(call("-C", finished, "compare", "tfidf", "nobody"), "'nobody' has no trial", "tfidf, majority")
    assert_clear(call("-C", finished, "compare", "tfidf", "majority", "--metric", "beauty"), "'beauty'", "accuracy")
    assert_clear(call("-C", finished, "why", "ffff"), "there is no release 'ffff'")
    assert_clear(call("-C", finished, "report", 7), "cycle 7 has no verdict")


def test_before_the_first_cycle_there_is_nothing_to_show(project):
    assert "no cycle yet" in call("-C", project, "status").out
    assert_clear(call("-C", project, "why"), "nothing is in production", "lifeloop status")
    assert_clear(call("-C", project, "report"), "no cycle has a verdict yet")
    assert_clear(call("-C", project, "compare", "a", "b"), "there is no leaderboard yet")
    assert_clear(call("-C", project, "serve"), "nothing is in production")


def test_a_vault_and_a_ledger_that_are_out_of_reach(project, monkeypatch):
    monkeypatch.setenv("LIFELOOP_LEDGER", "nonsense")
    assert_clear(call("-C", project, "plan"), "nonsense")
    monkeypatch.setenv("LIFELOOP_LEDGER", "postgresql://nobody:secret@127.0.0.1:9/none")
    said = call("-C", project, "plan")
    assert_clear(said, "127.0.0.1")
    assert "secret" not in said.all
    monkeypatch.delenv("LIFELOOP_LEDGER")
    monkeypatch.setenv("LIFELOOP_VAULT", "carrier-pigeon://roof")
    assert_clear(call("-C", project, "plan"), "carrier-pigeon")


def test_markup_in_a_failure_is_shown_and_not_obeyed(capsys):
    with Screen(quiet=False) as screen:
        screen.tell(Notice("failed", "explore", "make far", note="no file /models/[/red][bold]model.gguf"))

    assert "/models/[/red][bold]model.gguf" in capsys.readouterr().err
