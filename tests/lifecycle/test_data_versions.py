import contextlib
import os
import random
import shutil
from unittest.mock import patch

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_scene import ALIKE, DATA, KEY, MAIL, brief, build, changed, project, rows, two_versions
from lifeloop.core.content import short
from lifeloop.core.data import Dataset
from lifeloop.core.errors import BriefError, DataError
from lifeloop.lifecycle.cycle import build_dataset
from lifeloop.lifecycle.data_card import data_record
from lifeloop.lifecycle.data_diff import project_difference
from lifeloop.lifecycle.data_export import whole_file
from lifeloop.lifecycle.data_rows import Wanted, seen_rows
from lifeloop.lifecycle.data_texts import shortened
from lifeloop.lifecycle.data_unmask import unmask
from lifeloop.lifecycle.data_versions import data_versions, opened_version, version_named
from lifeloop.project import open_project
from lifeloop.reports.data_card import data_document
from lifeloop.reports.html import html_page
from lifeloop.reports.markdown import markdown_page
from lifeloop.store.dataset_parts import tables_of
from small_project import write_csv


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return open_project(two_versions(tmp_path_factory.mktemp("two") / "news"))


@contextlib.contextmanager
def opened(project_):
    with contextlib.closing(project_.open_ledger()) as ledger:
        yield ledger, project_.open_vault()


class TestVersions:
    def test_each_is_listed_with_its_cycle_and_counts(self, two):
        with opened(two) as (ledger, vault):
            first, last = data_versions(ledger, vault)

        assert (first.number, first.cycle, first.n_raw) == (1, 1, 244)
        assert (last.number, last.cycle, last.n_raw) == (2, 2, 248)
        assert (first.n_kept, last.n_kept) == (240, 245)

    def test_one_is_named_by_nothing_its_cycle_or_its_id(self, two):
        with opened(two) as (ledger, vault):
            first, last = data_versions(ledger, vault)
            for name, meant in (("", last), ("1", first), ("2", last), (short(first.id), first), (last.id, last)):
                assert version_named(ledger, vault, name) == meant

    def test_a_cycle_that_found_the_data_unchanged_has_the_version_before(self, two, tmp_path):
        folder = shutil.copytree(two.folder, tmp_path / "copy")
        (folder / "lifeloop.toml").write_text(brief() + "[monitor]\nmin_feedback = 9\n")

        built = build(folder)

        with opened(open_project(folder)) as (ledger, vault):
            assert built.cycle == 3
            assert not built.fresh
            assert version_named(ledger, vault, "3").cycle == 2
            assert len(data_versions(ledger, vault)) == 2

    def test_the_last_is_the_one_that_the_last_cycle_came_to_though_it_was_made_before(self, two, tmp_path):
        folder = shutil.copytree(two.folder, tmp_path / "copy")
        made = []
        for limit in (4000, 5000, 4000, 5000):
            (folder / "lifeloop.toml").write_text(brief(DATA.replace('id = "id"', f'id = "id"\nmax_chars = {limit}')))
            made.append(build(folder).dataset_id)
            with opened(open_project(folder)) as (ledger, vault):
                assert version_named(ledger, vault).id == made[-1]

    @pytest.mark.parametrize("name", ["7", "ffffff0", "zzz"])
    def test_one_that_is_not_there_is_an_error_that_names_those_there_are(self, two, name):
        with opened(two) as (ledger, vault), pytest.raises(DataError, match="there is no version") as error:
            version_named(ledger, vault, name)

        assert "(cycle 2)" in error.value.fix

    def test_before_the_first_there_is_none(self, tmp_path):
        with opened(open_project(project(tmp_path / "news"))) as (ledger, vault):
            assert data_versions(ledger, vault) == ()
            with pytest.raises(DataError, match="no version of the data yet"):
                version_named(ledger, vault)


class TestRecord:
    def test_the_numbers_add_up(self, two):
        for name in ("1", "2"):
            record = data_record(two, name)

            lost = sum(loss.n_rows for loss in record.losses)
            assert record.version.n_raw == lost + record.version.n_kept
            assert sum(origin.n_rows for origin in record.origins) == record.version.n_raw
            assert all(sum(origin.fates.values()) == origin.n_rows for origin in record.origins)
            assert sum(each.n for each in record.bins) == record.version.n_kept
            assert {spread.split: spread.n for spread in record.spreads} == record.version.counts
            assert sum(each.n for each in record.counted) == record.version.n_kept
            assert sum(each.n for each in record.slices[0].values) == record.version.n_kept

    def test_what_was_lost_has_its_step_and_reason(self, two):
        losses = {(loss.step, loss.fate, loss.n_rows) for loss in data_record(two, "1").losses}

        assert losses == {("text", "quarantined", 1), ("conflicts", "quarantined", 2), ("duplicates", "dropped", 1)}

    def test_lengths_are_those_of_the_texts(self, two):
        version, _, vault = opened_version(two, "2")
        for spread in data_record(two, "2").spreads:
            texts = pl.concat(list(tables_of(vault, version.id, spread.split)))["input"]
            chars, words = texts.str.len_chars(), texts.str.split(" ").list.len()
            assert (spread.chars[0], spread.chars[-1]) == (chars.min(), chars.max())
            assert (spread.words[0], spread.words[-1]) == (words.min(), words.max())

    def test_personal_data_is_in_no_card_whatever_became_of_its_row(self, two, tmp_path):
        for action in ("mask", "quarantine", "report"):
            folder = project(tmp_path / action)
            (folder / "lifeloop.toml").write_text(brief(f'{DATA}personal_data = {{ action = "{action}" }}\n'))
            write_csv(
                folder / "data.csv", [*rows(), ("n", f"{MAIL} \0", "sport", "")], ("id", "text", "label", "channel")
            )
            build(folder)

            page = data_document(data_record(open_project(folder)))
            for text in (html_page(page), markdown_page(page)):
                assert MAIL not in text
                assert "MAIL" in text, "the row itself is shown"

    def test_a_guard_row_is_never_shown(self, two):
        version, _, vault = opened_version(two)
        page = html_page(data_document(data_record(two)))

        for text in pl.concat(list(tables_of(vault, version.id, "guard")))["input"]:
            assert text not in page


class TestOtherTasks:
    """What is counted where there are no labels."""

    def made(self, folder, task, data, lines, name):
        folder.mkdir()
        (folder / name).write_text(lines, encoding="utf-8")
        kind, metric = {"extract": ("gazetteer", "entity_f1"), "chat": ("nearest", "token_f1")}[task]
        rest = f'[[objectives]]\nmetric = "{metric}"\ntarget = 0.5\n[candidates.one]\nkind = "{kind}"\n'
        project_ = f'[project]\nname = "news"\ntask = "{task}"\n'
        text = f'{project_}[data]\nsource = "{name}"\n{data}{ALIKE}{rest}'
        (folder / "lifeloop.toml").write_text(text)
        build(folder)
        return data_record(open_project(folder))

    def test_of_an_extraction_the_entities_by_type(self, tmp_path):
        blocks = [f"word{n}\tO\nAnn\tB-person\nLee\tI-person\nin\tO\nParis{n}\tB-place\n" for n in range(80)]

        record = self.made(tmp_path / "news", "extract", "", "\n".join(blocks), "data.conll")

        assert {each.name: each.n for each in record.counted} == {"person": 80, "place": 80}
        assert "| person |" in markdown_page(data_document(record))

    def test_of_a_chat_the_messages_a_conversation(self, tmp_path):
        def lines(n):
            said = [
                {"role": "user", "content": f"question number {n}"},
                {"role": "assistant", "content": f"answer {n}"},
            ]
            return msgspec.json.encode({"messages": said * (1 + n % 2)}).decode()

        text = "\n".join(lines(n) for n in range(80))
        record = self.made(tmp_path / "news", "chat", 'format = "messages"\n', text, "data.jsonl")

        assert record.counted == ()
        assert record.turns.n_sampled == record.version.counts["train"]
        assert {name for name, _ in record.turns.shares} == {"1 message", "3 messages"}
        assert "Messages a conversation" in markdown_page(data_document(record))


class TestDifference:
    def test_what_came_went_and_changed(self, two):
        found = project_difference(two, n_rows=9)

        assert (found.raw_came, found.raw_went) == (5, 1)
        assert {row.source for row in found.came_rows} == {f"data.csv:{n}" for n in (241, 245, 246, 247, 248, 249)}
        assert sum(found.came.values()) == 6, "the repeat has its own text now"
        assert sum(found.went.values()) == 1
        assert {row.id: row.what[0] for row in found.changed_rows} == {"r20": "text", "r21": "reference"}
        assert found.n_changed == 2
        assert found.n_moved == 0
        assert {(change.before.partition(":")[0], change.after, change.n_rows) for change in found.fates} == {
            ("dropped", "kept", 1)
        }
        assert ("duplicates", 1, 0) in {(each.step, each.before, each.after) for each in found.findings}
        other = 1 + (1 if found.changed["split"] else 0)  # another label; another text may be of another split
        assert sum(sum(label.came.values()) for label in found.labels) == 6 + other
        assert sum(sum(label.went.values()) for label in found.labels) == 1 + other

    def test_a_version_differs_in_nothing_from_itself(self, two):
        found = project_difference(two, "2", "2")

        assert found.is_empty
        assert found.n_parts_compared == 0

    def test_backwards_what_came_went(self, two):
        there, back = project_difference(two, "1", "2"), project_difference(two, "2", "1")

        assert (there.came, there.went, there.raw_came) == (back.went, back.came, back.raw_went)

    def test_the_first_has_nothing_before_it(self, two):
        with pytest.raises(DataError, match="but one version"):
            project_difference(two, "", "1")

    @given(seed=st.integers(0, 2**32 - 1))
    @settings(max_examples=5, deadline=None)
    def test_counts_agree_with_the_versions_whatever_changed(self, tmp_path_factory, seed):
        chance = random.Random(seed)
        folder = project(tmp_path_factory.mktemp("any") / "news")
        build(folder)
        left = [row for row in rows() if chance.random() < 0.9]
        write_csv(folder / "data.csv", left, ("id", "text", "label", "channel"))
        build(folder)

        found = project_difference(open_project(folder))

        for split, n in found.after.counts.items():
            change = found.came[split] - found.went[split]
            assert n - found.before.counts[split] == change, "no split changes but by a change of text"
        assert found.after.n_raw - found.before.n_raw == found.raw_came - found.raw_went


class TestRows:
    def test_why_a_row_is_gone(self, two):
        found = seen_rows(two, "1", Wanted("data.csv:242"), 5)

        assert found.n_rows == 1
        row = found.rows[0]
        assert (row.id, row.fate, row.split) == ("twice", "dropped", "")
        assert "repeat" in row.reason and "data.csv:7" in row.detail
        assert row.text == rows()[240][1]

    def test_a_row_by_its_id(self, two):
        assert seen_rows(two, "", Wanted("r7"), 5).rows[0].source == "data.csv:9"

    def test_a_masked_row_is_shown_as_it_came_and_as_it_is(self, two):
        row = seen_rows(two, "", Wanted("mail"), 5).rows[0]

        assert MAIL in row.text
        assert "[MAIL:" in row.text_now and MAIL not in row.text_now

    def test_filters_go_together_and_the_rest_is_counted(self, two):
        every = seen_rows(two, "", Wanted(), 1)
        assert (every.n_rows, len(every.rows)) == (248, 1)
        sport = seen_rows(two, "", Wanted(fate="kept", split="test", label="sport"), 1000)
        assert sport.n_rows == len(sport.rows) > 0
        assert {(row.split, row.reference) for row in sport.rows} == {("test", "sport")}
        reasons = seen_rows(two, "1", Wanted(reason="DIFFERENT labels"), 10)
        assert {row.id for row in reasons.rows} == {"r9", "other"}

    def test_guard_texts_are_shown_only_when_asked_for(self, two):
        hidden = seen_rows(two, "", Wanted(split="guard"), 100)
        shown = seen_rows(two, "", Wanted(split="guard"), 100, guard=True)

        assert all(row.withheld and not row.text and not row.reference for row in hidden.rows)
        assert all(not row.withheld and row.text for row in shown.rows)

    def test_one_that_is_not_there_is_an_error(self, two):
        with pytest.raises(DataError, match=r"no row has the source or the id 'data.csv:9999'") as error:
            seen_rows(two, "", Wanted("data.csv:9999"), 5)
        assert "data.csv" in error.value.fix
        with pytest.raises(DataError, match="is there, but"):
            seen_rows(two, "", Wanted("r7", fate="dropped"), 5)


class TestUnmasking:
    def lines(self, path):
        return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]

    def splits(self, project_):
        return ("train", "validation", "test", "guard")

    def test_with_the_key_the_texts_are_as_they_were(self, two, tmp_path):
        with patch.dict(os.environ, {"LIFELOOP_DATA_KEY": KEY}):
            made = unmask(two, "", tmp_path / "out.jsonl", splits=self.splits(two))

        assert (made.n_rows, made.n_left) == (1, 0)
        (row,) = self.lines(tmp_path / "out.jsonl")
        assert row["input"] == {each[0]: each[1] for each in rows()}["mail"]
        assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600

    def test_with_another_key_or_none_nothing_is_written(self, two, tmp_path):
        with patch.dict(os.environ, {"LIFELOOP_DATA_KEY": "another long enough key"}), pytest.raises(DataError):
            unmask(two, "", tmp_path / "out.jsonl")
        with patch.dict(os.environ, {"LIFELOOP_DATA_KEY": "short"}), pytest.raises(BriefError):
            unmask(two, "", tmp_path / "out.jsonl")
        with pytest.raises(DataError, match="there is no key"):
            unmask(two, "", tmp_path / "out.jsonl")

        assert list(tmp_path.iterdir()) == []

    def test_what_was_masked_for_good_stays_so(self, tmp_path):
        folder = project(tmp_path / "news")
        with patch.dict(os.environ, {"LIFELOOP_DATA_KEY": ""}):
            build_dataset(open_project(folder), lambda notice: None, lambda: 0.0)
        with (
            patch.dict(os.environ, {"LIFELOOP_DATA_KEY": KEY}),
            pytest.raises(DataError, match="masked for good"),
        ):
            unmask(open_project(folder), "", tmp_path / "out.jsonl")

    def test_a_file_is_whole_or_not_there(self, tmp_path):
        with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "out") as path:
            path.write_text("half")
            _ = 1 / 0
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "task", "shown"),
    [
        ("a  b\n c", "classify", "a b c"),
        ("x" * 200, "classify", "x" * 159 + "…"),
        ('[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"}]', "chat", "user: hi assistant: ho"),
        ("no JSON", "chat", "no JSON"),
    ],
)
def test_texts_are_shown_on_one_line(text, task, shown):
    assert shortened(text, task) == shown


def test_a_version_s_rows_are_where_its_counts_say(two):
    version, _, vault = opened_version(two)
    dataset = vault.get_value(version.id, Dataset)

    for split, n in dataset.counts.items():
        assert sum(table.height for table in tables_of(vault, version.id, split)) == n


def test_a_second_look_at_unchanged_data_makes_no_version(tmp_path):
    folder = project(tmp_path / "news")
    first, again = build(folder), build(folder)
    assert (first.dataset_id, again.fresh) == (again.dataset_id, False)
    changed(folder)
    assert build(folder).dataset_id != first.dataset_id
