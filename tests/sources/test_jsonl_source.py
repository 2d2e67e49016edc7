from pathlib import Path

import pytest
from reading_scene import read, sample

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources.jsonl import SOURCE
from lifeloop.sources.rows import DAMAGED

DATA = Data(source="rows.jsonl")


def written_and_read(folder: Path, content: str | bytes, data: Data = DATA):
    path = folder / "rows.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read(SOURCE, path, data)


def test_values_that_are_no_text_become_canonical_json(tmp_path):
    table = written_and_read(
        tmp_path,
        '{"text": [{"role": "user", "content": "Hi"}], "label": "Hello"}\n'
        '{"text": "Ann in Bonn", "label": [{"type": "person", "start": 0, "end": 3}]}\n'
        '{"text": "five", "label": 5}\n{"text": "yes", "label": true}\n',
    )
    assert table["input"][0] == '[{"content":"Hi","role":"user"}]'
    assert table["reference"].to_list()[1:] == ['[{"end":3,"start":0,"type":"person"}]', "5", "true"]
    assert table["source"].to_list()[:2] == ["rows.jsonl:1", "rows.jsonl:2"]
    assert (table["flaw"] == "").all()


@pytest.mark.parametrize(
    ("line", "flaw"),
    [
        ('{"text": "a", "label"', "not valid JSON"),
        ('{"text": "a", "label": NaN}', "not valid JSON"),
        ('{"text": "\\ud800", "label": "a"}', "not valid JSON"),
        ('["a", "b"]', "not a JSON object"),
        ('{"text": "a"}', "no value: column 'label'"),
        ('{"text": null, "label": "a"}', "no value: column 'text'"),
        ('{"text": "a\\u0000", "label": "a"}', "a NUL byte"),
        ('{"text": ' + "[" * 100_000 + "}", "JSON that is nested too deeply"),
        (b'{"text": "caf\xe9", "label": "a"}', DAMAGED),
    ],
)
def test_a_line_that_cannot_be_read_is_kept_with_its_flaw(tmp_path, line, flaw):
    bad = line.encode() if isinstance(line, str) else line
    table = written_and_read(
        tmp_path, b'{"text": "ok", "label": "a"}\n' * 9 + bad + b'\n\n{"text": "last", "label": "b"}\n'
    )

    assert table.height == 11
    assert table["flaw"].to_list()[:9] == [""] * 9
    assert table["flaw"][9].startswith(flaw)
    assert table["source"].to_list()[9:] == ["rows.jsonl:10", "rows.jsonl:12"]


def test_a_whole_number_beyond_64_bits_is_kept(tmp_path):
    number = "1" + "0" * 30
    assert written_and_read(tmp_path, f'{{"text": "a", "label": {number}}}')["reference"].to_list() == [number]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("text,label\na,b\n", "as on every line"),
        ('[{"text": "a"},\n{"text": "b"}]', "as on every line"),
        ('{"texts": "a", "label": "b"}\n', "did you mean 'texts'"),
        ('{"messages": [{"role": "user", "content": "hi"}]}\n', 'set data.format = "messages"'),
        ("Grüße aus Köln\n".encode("cp1252") * 10, "set data.encoding"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, content, says):
    with pytest.raises(DataError, match=says) as caught:
        written_and_read(tmp_path, content)
    assert "rows.jsonl" in caught.value.where


def test_a_sample_shows_values_as_text(tmp_path):
    written_and_read(tmp_path, '{"text": "a", "label": 1}\n{"text": "b", "label": null}\n{"text": "c", "label": "d"}\n')
    assert sample(SOURCE, tmp_path / "rows.jsonl", 2) == [{"text": "a", "label": "1"}, {"text": "b", "label": ""}]
