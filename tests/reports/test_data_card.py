import re
from xml.etree import ElementTree

import msgspec
import pytest
from data_records import VARIANTS, first, found, losses, record
from hypothesis import given, settings
from hypothesis import strategies as st
from report_reading import read_html, read_markdown

from lifeloop.core.data import Finding
from lifeloop.core.data_brief import About
from lifeloop.reports.blocks import Figure
from lifeloop.reports.data_card import data_document
from lifeloop.reports.data_plot import Bar, bars_figure
from lifeloop.reports.data_record import DataRecord, FoundRows, Loss, ShownRow
from lifeloop.reports.html import html_page
from lifeloop.reports.hub_card import front_matter
from lifeloop.reports.letters import one_line
from lifeloop.reports.markdown import markdown_page

every_variant = pytest.mark.parametrize("name", VARIANTS)


def html(record: DataRecord) -> str:
    return html_page(data_document(record))


def markdown(record: DataRecord) -> str:
    return read_markdown(markdown_page(data_document(record)))


@every_variant
def test_the_html_is_balanced_and_fetches_and_runs_nothing(name):
    page = html(VARIANTS[name]())
    seen = read_html(page)

    assert seen.faults == []
    assert not {"script", "link", "img", "iframe", "object"} & set(seen.tags)
    assert not re.search(r"https?:|url\(|@import", page)
    anchors = {value for key, value in seen.attributes if key == "id"}
    assert {value[1:] for key, value in seen.attributes if key == "href"} == anchors


@every_variant
def test_html_and_markdown_say_the_same(name):
    page = data_document(VARIANTS[name]())
    seen, read = read_html(html(VARIANTS[name]())).text, markdown(VARIANTS[name]())
    for words in (page.title, page.about, page.sentence, *(section.title for section in page.sections)):
        assert one_line(words) in seen
        assert one_line(words) in read


@every_variant
def test_every_figure_is_well_formed_and_named(name):
    figures = [b for section in data_document(VARIANTS[name]()).sections for b in section.blocks]
    for figure in (block for block in figures if isinstance(block, Figure)):
        for svg in (figure.wide, figure.narrow):
            root = ElementTree.fromstring(svg)
            assert root.get("role") == "img" and root[0].text == root.get("aria-label")


def test_the_flow_adds_up_to_the_examples():
    said = markdown(record())

    assert "12,450 rows came; 11,803 were kept (94.8%), 396 dropped, 251 quarantined" in said
    left = 12_450
    for loss in losses():
        left -= loss.n_rows
        assert f"| {loss.step} | {loss.reason} | {loss.fate} | −{loss.n_rows} | {left:,} |" in said
    assert left == 11_803
    assert "| kept | examples in four splits | kept | | 11,803 |" in said


@given(ns=st.lists(st.integers(1, 10**6), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_many_reasons_are_drawn_as_few_without_losing_a_row(ns):
    reasons = tuple(Loss("step", "dropped", f"reason {number}", n) for number, n in enumerate(ns))
    version = msgspec.structs.replace(record().version, n_raw=sum(ns) + record().version.n_kept)
    page = data_document(msgspec.structs.replace(record(), version=version, losses=reasons))
    figure = next(b for s in page.sections for b in s.blocks if isinstance(b, Figure) and s.key == "rows")

    drawn = [int(n.replace(",", "")) for n in re.findall(r"−([\d,]+)$", figure.letters, re.MULTILINE)]
    assert sum(drawn) == sum(ns)
    assert len(drawn) <= 14


def test_what_is_not_filled_in_is_said_with_the_way_to_fill_it_in():
    said = markdown(record())

    assert "- **Licence:** CC-BY-4.0" in said
    assert "- **Consent:** not filled in" in said
    assert "5 of 7 fields are not filled in:" in said
    assert "attribution, homepage, collected, consent, contact." in said
    assert "[data.about]" in said
    assert "not filled in" not in markdown(first())
    one = msgspec.structs.replace(record(), about=About(*["said"] * 6))
    assert "1 of 7 fields is not filled in:" in markdown(one)


def test_a_text_with_a_script_is_shown_and_does_not_run():
    page = html(record())

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page


def test_a_guard_row_is_named_and_not_shown():
    secret = ShownRow("messages.csv:9", "dropped", "of messages.csv:3", "", "guard")
    finding = FoundRows(Finding("duplicates", "dropped", 1, "a repeat", ("messages.csv:9",)), (secret,))

    assert "messages.csv:9 | text not shown: a guard row | a repeat (of messages.csv:3) |" in markdown(
        msgspec.structs.replace(record(), found=(finding,))
    )


def test_a_step_that_found_nothing_or_was_off_is_listed_too():
    said = markdown(record())

    assert "| language | texts in other languages | on, allowed: en, fr, from 80% sure |" in said
    assert "| toxic | insults, slurs and the like | off | not looked for |" in said
    assert "| reviewed | what people decided of single rows | off: the brief names no table | not looked for |" in said
    chat = markdown(msgspec.structs.replace(record(), task="chat"))
    assert "| conflicts | one text with several labels | off: for classify alone | not looked for |" in chat
    assert "| personal data | personal data and secrets | on, action 'mask' | 212 | 0 | 0 |" in said
    assert "| ids | ids that several rows have | always on | 0 | 0 | 0 |" in said


def test_a_plugin_s_step_is_listed_under_its_own_name():
    theirs = FoundRows(Finding("moon phase", "dropped", 4, "written at full moon", ()), ())

    assert "| moon phase | | on | 0 | 4 | 0 |" in markdown(msgspec.structs.replace(record(), found=(*found(), theirs)))


def test_changes_against_the_version_before():
    said = markdown(record())

    assert "- **Examples that came:** 401: train 240, validation 61, test 80, guard 20" in said
    assert "- **Examples that changed:** 4: text 1, reference 3" in said
    assert "- **Groups that changed their split:** none" in said
    assert "| balance | +40 −2 | 0 | +3 | 0 |" in said
    assert "This is the first version of the data" in markdown(first())


def test_bars_are_as_long_as_their_numbers():
    figure = bars_figure("n", "", [Bar("a", 10, "10"), Bar("b", 5, "5", start=5), Bar("c", 0, "0")])

    wide = ElementTree.fromstring(figure.wide)
    widths = [float(each.get("width")) for each in wide.iter("rect")]
    assert len(widths) == 2, "nothing is drawn for none"
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)
    lines = figure.letters.splitlines()
    assert lines[0].count("█") == 2 * lines[1].count("█")
    assert lines[1].index("█") > lines[0].index("█")


class TestFrontMatter:
    def test_the_head_is_yaml_that_the_hub_reads(self):
        yaml = pytest.importorskip("yaml", reason="comes with huggingface-hub")
        text = front_matter(record(), {"train": 7_010, "test": 2_391}, {"train": ("train.jsonl",)})
        assert text.startswith("---\n") and text.endswith("---\n")
        head = yaml.safe_load(text.strip("-\n"))

        assert head["license"] == "cc-by-4.0"
        assert head["task_categories"] == ["text-classification"]
        assert head["size_categories"] == ["1K<n<10K"]
        assert head["language"] == ["en", "fr"]
        assert head["configs"][0]["data_files"] == [{"split": "train", "path": ["train.jsonl"]}]

    @pytest.mark.parametrize("licence", ["Ours alone: ask", "- x", "{", "a\nb: c", "#", "'"])
    def test_a_licence_of_any_text_stays_that_text(self, licence):
        yaml = pytest.importorskip("yaml", reason="comes with huggingface-hub")
        head = front_matter(msgspec.structs.replace(record(), about=About(licence=licence)), {}, {})
        head = yaml.safe_load(head.strip("-\n"))

        assert (head["license"], head["license_name"]) == ("other", licence.strip())

    def test_norwegian_is_a_language_and_not_a_no(self):
        yaml = pytest.importorskip("yaml", reason="comes with huggingface-hub")
        language = msgspec.structs.replace(record().data.refine.language, allowed=("no",))
        refine = msgspec.structs.replace(record().data.refine, language=language)
        data = msgspec.structs.replace(record().data, refine=refine)

        head = yaml.safe_load(front_matter(msgspec.structs.replace(record(), data=data), {}, {}).strip("-\n"))
        assert head["language"] == ["no"]


def test_what_a_later_step_did_of_a_row_is_not_taken_for_the_finding():
    row = ShownRow("m:1", "dropped", "of m:9", "where is it")
    finding = FoundRows(Finding("splits", "kept", 1, "moved to the most protected one", ("m:1",)), (row,))

    said = markdown(msgspec.structs.replace(record(), found=(finding,)))
    assert "| m:1 | where is it | moved to the most protected one (dropped by another step: of m:9) |" in said
