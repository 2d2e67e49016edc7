import re
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_reading import read_html, read_markdown
from report_records import VARIANTS, board_of, hostile, identifier, promoted, rejected, trial, undecided

from lifeloop.core.evidence import Leaderboard, Measurements, MetricValue, Standing
from lifeloop.reports.blocks import Facts, Figure, Quote, Table, Text, Tiles
from lifeloop.reports.document import document
from lifeloop.reports.html import render_html
from lifeloop.reports.letters import one_line
from lifeloop.reports.markdown import escape_markdown, render_markdown

every_variant = pytest.mark.parametrize("name", VARIANTS)


def words_of(block) -> list[str]:
    match block:
        case Text():
            return [block.lead, block.text]
        case Quote():
            return block.text.splitlines()
        case Facts():
            return [part for item in block.items for part in item]
        case Tiles():
            return [part for tile in block.tiles for part in (tile.label, tile.value, tile.note)]
        case Table():
            cells = [cell for row in block.rows for cell in row.cells]
            heads = [column.title for column in block.columns]
            parts = [part for cell in cells for part in (cell.text, cell.note, *cell.badges)]
            return [block.caption, *heads, *parts]
        case Figure():
            return [block.title, block.caption]
    raise AssertionError(block)


@every_variant
def test_both_renderings_say_everything_the_document_says(name):
    record = VARIANTS[name]()
    page = document(record)
    html, markdown = read_html(render_html(record)).text, read_markdown(render_markdown(record))
    said = [page.title, page.about, page.sentence]
    for section in page.sections:
        said += [section.title, *(words for block in section.blocks for words in words_of(block))]
    for words in map(one_line, said):
        assert words in html, words
        assert words in markdown, words


@every_variant
def test_the_html_is_balanced_and_fetches_nothing(name):
    html = render_html(VARIANTS[name]())
    page = read_html(html)
    assert page.faults == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert all(value.startswith("#") for key, value in page.attributes if key in ("href", "src"))
    assert not re.search(r"https?:|url\(|@import|//[a-z]", html.replace("</", ""))
    anchors = {value for key, value in page.attributes if key == "id"}
    assert {value[1:] for key, value in page.attributes if key == "href"} == anchors


@every_variant
def test_every_figure_is_well_formed_and_named(name):
    figures = [block for section in document(VARIANTS[name]()).sections for block in section.blocks]
    for figure in (block for block in figures if isinstance(block, Figure)):
        for svg in (figure.wide, figure.narrow):
            root = ElementTree.fromstring(svg)
            assert root.get("role") == "img" and root[0].tag == "title" and root[0].text == root.get("aria-label")


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "hostile"])
def test_no_number_is_ever_printed_raw(name):
    record = VARIANTS[name]()
    for text in (render_html(record), render_markdown(record)):
        assert not re.search(r"\b(nan|inf|infinity)\b", text, re.IGNORECASE)
        assert not re.search(r"\d\.\d{12}", text), "a float with all its digits"


def test_the_verdict_opens_both_with_the_numbers_under_it():
    html, markdown = read_html(render_html(promoted())).text, read_markdown(render_markdown(promoted()))
    sentence = (
        "minilm-tuned goes to production: it is 5.1 points better than tfidf on accuracy and meets every objective."
    )
    for text in (html, markdown):
        assert text.index(sentence) < text.index("91.2%") < text.index("People write to the bank")
    assert "| accuracy | at least 85.0% | 91.2% | 89.6% to 92.7% | ✅ met |" in markdown


def test_every_fact_of_the_record_has_its_place_and_its_unit():
    markdown = read_markdown(render_markdown(promoted()))
    for fact in (
        "p95 latency | at most 50.0 ms | 14.2 ms",  # objectives
        "(more is better, test examples) | 2.0 points | +3.0 points | −1.1 to +7.1 points | ✅ kept |",  # guards
        "15 minutes, USD 0 for remote endpoints, 8 GB of memory",  # budget
        "| guard | 300 examples | 3.6% |",  # splits
        "balance, card_lost, crédit, oos, 支払い, transfer",  # labels
        "| encoding | the bytes are not UTF-8 | quarantined | 3 rows | messages.csv:4021 |",  # findings
        "87 rows of it were learned from feedback",
        "hosted-large (remote) | 640 ms | 1,310 ms | 64.0 MB | 812,400 in, 3,710 out",
        "(903 in, 4 out a request) | USD 0.41 | 2 min 35 s |",
        "| 4 of 900 items |",
        "huge | it needs 14.2 GB of memory, and the budget is 8 GB",  # failures
        "minilm-tuned **challenger** (finetune of minilm)",
        "tfidf **champion** (features)",
        "p < 0.001 (paired bootstrap, clustered by group) | 1,200 examples",  # evidence
        "test examples, with typos | 85.2% (83.2% to 87.2%) | 80.1% (78.1% to 82.1%) | −6.0 points",
        "domain=crédit & prêts | 82.2%",  # slices
        "512 MB (planned 666 MB, 1.3 times less)",  # planned against actual
        "97 agree with the answer given (80.8%)",  # production
        f"| release | {identifier('release 2')[:12]} | minilm-tuned, since 2026-11-06 |",  # lineage
        "tfidf; a request may take 2 s before it answers",
    ):
        assert fact in markdown, fact


def test_what_is_missing_is_said():
    markdown = read_markdown(render_markdown(undecided()))
    for fact in (
        "About 1,350 further test examples would decide",
        "none: the interval alone decides",
        "Nothing had been served before this cycle",
        "This cycle put nothing in production",
        "tfidf (features)",
        "majority **baseline**",
    ):
        assert fact in markdown, fact


def test_a_metric_that_only_rounds_to_its_target_is_not_shown_as_equal():
    assert "accuracy | at least 85.00% | 84.97%" in read_markdown(render_markdown(rejected()))


def test_nothing_from_outside_becomes_markup():
    html, markdown = render_html(hostile()), render_markdown(hostile())
    page = read_html(html)
    assert page.faults == [] and "script" not in page.tags and "img" not in page.tags and "i" not in page.tags
    assert "<script>alert('x')</script>|`*_a_*` # x &amp; ��" in page.text
    assert not re.search(r"(?<!\\)<(script|img|i|b)\b", re.sub(r"```+text\n.*?\n```+\n", "", markdown, flags=re.DOTALL))
    for table in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(bars) == 1, table


@given(st.text())
def test_escaped_text_is_one_line_and_reads_as_it_was(text):
    escaped = escape_markdown(text)
    assert "\n" not in escaped
    assert re.sub(r"\\([\\`*\[\]<>|~$&_])", r"\1", escaped) == one_line(text)


numbers = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5]), st.floats(allow_nan=True, allow_infinity=True))
amounts = st.one_of(st.just(0.0), st.floats(1e-9, 1e6), st.sampled_from([0.002, float("nan"), float("inf")]))
names = st.one_of(
    st.text(min_size=1, max_size=70).filter(lambda text: text.strip()), st.sampled_from(["a", "<b>", "日本"])
)


@st.composite
def standings(draw) -> Standing:
    name = draw(names)
    if draw(st.integers(0, 5)) == 0:
        return Standing(name=name, candidate=identifier(name), trial=None, failure=draw(st.text(max_size=30)))
    cost, speed = draw(amounts), draw(amounts)
    found = msgspec.structs.replace(
        trial("tfidf", 0.8),
        name=name,
        candidate=identifier(name),
        metrics=(MetricValue("accuracy", draw(numbers), draw(numbers), draw(numbers), 10),),
        measurements=Measurements(speed, draw(amounts), draw(amounts), draw(st.integers(0, 10**9)), 0, cost, speed),
    )
    return Standing(name=name, candidate=identifier(name), trial=found)


@settings(max_examples=60, deadline=None)
@given(st.lists(standings(), min_size=1, max_size=40), st.data())
def test_any_leaderboard_can_be_rendered_and_names_every_candidate(field, data):
    record = promoted()
    challenger = data.draw(st.sampled_from(field)).candidate
    board = Leaderboard(metric="accuracy", standings=tuple(field), challenger=challenger, reason="")
    record = msgspec.structs.replace(record, leaderboard=board)
    page, markdown = read_html(render_html(record)), read_markdown(render_markdown(record))
    assert page.faults == []
    for standing in field:
        assert one_line(standing.name) in page.text
        assert one_line(standing.name) in markdown
    for block in (block for section in document(record).sections for block in section.blocks):
        if isinstance(block, Figure):
            ElementTree.fromstring(block.wide)
            ElementTree.fromstring(block.narrow)


def test_the_same_record_gives_the_same_report():
    assert render_html(promoted()) == render_html(promoted())
    assert render_markdown(promoted()) == render_markdown(promoted())


def test_a_challenger_made_anew_under_the_champions_name_is_told_apart():
    record = promoted()
    field = {"tfidf": trial("tfidf", 0.9)}
    verdict = msgspec.structs.replace(
        record.verdict, challenger=identifier("new"), challenger_name="tfidf", champion=identifier("tfidf")
    )
    release = msgspec.structs.replace(record.release, name="tfidf", candidate=identifier("new"))
    record = msgspec.structs.replace(record, leaderboard=board_of(field, "tfidf"), verdict=verdict, release=release)
    assert "better than the champion tfidf" in render_markdown(record)
