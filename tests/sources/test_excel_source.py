import base64
import datetime
import random
import zipfile
import zlib
from pathlib import Path

import openpyxl
import pytest
from reading_scene import read, sample

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources import unpacked
from lifeloop.sources.excel import SOURCE

DATA = Data(source="rows.xlsx")

OLD_XLS = (  # 5.6 kB as Excel 97 wrote them: the sheet Tickets, a header and one row
    "eNrtWE1oU0EQ/vblPzRpUlOhFUooWGvtRfTgpX1V0J4sVQRFBE2aJ5SEF4kR1INWa46C4EnxUujFS9WLP+hBbx6Eih6EgpDo0ZOg"
    "4KHNc2bynqQ/hwY0qOz32NnZ2Zndye7sbnbfLiarc496a1iDUfhQdyIINskUpYhXSIDqHYdZLw9TcjT+KUTCNJHBAJ7H3oR4Dnm+"
    "azDw0P+KKPCJ0imcw0TRttJtxAHxIaPYhxGiCvdIEkePeNUldEroFqEPRPOF0DGR3BQ6QrpVdRKL5sTQPjeKTxj9UhcHt/tEbJZE"
    "shvdeM1RfPWWaugGsL80nSn8nRV9/g7Mg+Zt3LKtUqZQRYomcB7fnTTwzVupL9Na3l65Asl/rJaHNpDfNvzADJwzEuAVdGLJxzUh"
    "HJueylvl88vYS3MNSaRati6WiS1kslaBIsGOARk7XSzk0mXRp8Vbss5esHNR3qllZSdWreyYRHwH0Rx1xnxS4j5Be/fy/a/vDmcn"
    "zdMimZHdvLHnb2c34eAaW5BxXGoMoezvkPC7hF6XVrcJ3ys0Rd5TPjDZ7TKHZkXnhtQOUD97BO/NHU38IPGVL0ee9lU+mzuJXxiv"
    "XU4tfDDn0E9nUI7s+ZvFsBpWd+8wnplertz94aPQnnV7RdhIuL477sHWiRVEhU0KbZR4dNSvkuGOFVurDayVWPtcfSXWPG5XDC6x"
    "NY/bqNGFxzJ0Y00naxQaGhoaGhoaGhoa7YBy/8n7GjcMuWkE5QrSeNdZoVTXzyT/LY6iSF+ZLqYHYVNewqWW4mcrAsprS23Sxnsv"
    "ZByn3kvIIyt+5FuOX7rpqebfs2nDxO9bQq32X2/Fzz/c/083xspc"
)


def workbook(folder: Path, *rows: tuple, name: str = "rows.xlsx", **sheets: list[tuple]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for title, more in sheets.items():
        sheet = book.create_sheet(title)
        for row in more:
            sheet.append(row)
    book.save(folder / name)
    return folder / name


def open_document(folder: Path, rows: str) -> Path:
    """A spreadsheet as LibreOffice writes it, around the rows of its one sheet."""
    names = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    body = f'<office:spreadsheet><table:table table:name="S">{rows}</table:table></office:spreadsheet>'
    with zipfile.ZipFile(folder / "rows.ods", "w", zipfile.ZIP_DEFLATED) as archive:
        kind = "application/vnd.oasis.opendocument.spreadsheet"
        archive.writestr("mimetype", kind, zipfile.ZIP_STORED)
        space = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
        entry = f'<m:file-entry m:full-path="/" m:media-type="{kind}"/>'
        archive.writestr("META-INF/manifest.xml", f'<m:manifest xmlns:m="{space}">{entry}</m:manifest>')
        document = f"<office:document-content{names}><office:body>{body}</office:body></office:document-content>"
        archive.writestr("content.xml", document)
    return folder / "rows.ods"


def test_rows_have_the_numbers_that_people_see_beside_them(tmp_path):
    path = workbook(tmp_path, ("text", "label"), ("a", "x"), (), (None, None), ("  ", ""), ("b", "y"))
    table = read(SOURCE, path, DATA)
    assert table["source"].to_list() == ["rows.xlsx:2", "rows.xlsx:6"]
    assert table["input"].to_list() == ["a", "b"]


def test_cells_are_read_as_people_see_them(tmp_path):
    row = ("a", 7, 0.1 + 0.2, datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 13, 5), True)
    row += (datetime.time(9, 30), 10**12)
    columns = ("text", "label", "share", "day", "moment", "flag", "time", "large")
    data = Data(source="rows.xlsx", slices=columns[2:])

    found = read(SOURCE, workbook(tmp_path, columns, row), data).to_dicts()[0]

    assert found["reference"] == "7"
    assert found["slices"] == (
        '{"day":"2024-02-29","flag":"true","large":"1000000000000","moment":"2024-02-29 13:05:00","share":"0.3",'
        '"time":"09:30:00"}'
    )


def test_numbers_and_texts_may_stand_in_one_column_however_far_down(tmp_path):
    rows = [("text", "label"), *((number, "x") for number in range(2000)), ("a text at last", "y")]
    table = read(SOURCE, workbook(tmp_path, *rows), DATA)
    assert table["input"].to_list()[-2:] == ["1999", "a text at last"]
    assert (table["flaw"] == "").all()


def test_a_title_above_the_table_and_columns_without_a_name_are_no_data(tmp_path):
    rows = [("All tickets of 2024",), (), ("Team", None, "text", "label"), ("A", "see below", "a", "x")]
    table = read(SOURCE, workbook(tmp_path, *rows), DATA)
    assert table.select("input", "reference", "source").rows() == [("a", "x", "rows.xlsx:4")]
    assert sample(SOURCE, tmp_path / "rows.xlsx", 5) == [{"Team": "A", "text": "a", "label": "x"}]


def test_a_table_that_does_not_begin_in_the_first_cell(tmp_path):
    path = workbook(tmp_path, (), (None, None, "text", "label"), (None, None, "a", "x"))
    assert read(SOURCE, path, DATA)["source"].to_list() == ["rows.xlsx:3"]


def test_rows_that_lack_a_cell_are_flaws_as_are_all_but_the_first_of_merged_ones(tmp_path):
    path = workbook(tmp_path, ("text", "label"), ("a", "x"), ("b", None), (None, "y"), ("c", "=1/0"))
    book = openpyxl.load_workbook(path)
    book.active.merge_cells("B2:B3")
    book.save(path)
    table = read(SOURCE, path, DATA)
    lacks = [f"no value: column {column!r}" for column in ("label", "text", "label")]
    assert table["flaw"].to_list() == ["", *lacks]


def test_the_sheet_is_the_one_that_the_brief_names(tmp_path):
    path = workbook(tmp_path, ("notes",), More=[("text", "label"), ("a", "x")])
    assert read(SOURCE, path, Data(source="rows.xlsx", sheet="More"))["input"].to_list() == ["a"]
    with pytest.raises(DataError, match="no sheet 'More!', only Sheet, More") as caught:
        read(SOURCE, path, Data(source="rows.xlsx", sheet="More!"))
    assert "data.sheet" in caught.value.fix


def test_a_workbook_of_the_older_kind(tmp_path):
    (tmp_path / "rows.xls").write_bytes(zlib.decompress(base64.b64decode("".join(OLD_XLS))))
    data = Data(source="rows.xls", slices=("n",))
    row = read(SOURCE, tmp_path / "rows.xls", data).to_dicts()[0]
    assert (row["input"], row["reference"], row["slices"]) == ("an old ticket", "refund", '{"n":"3"}')


def test_a_workbook_of_libreoffice(tmp_path):
    texts = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    header = "".join(map(texts.format, ("text", "label", "day")))
    day = '<table:table-cell office:value-type="date" office:date-value="2024-02-29"><text:p>29/2</text:p>'
    cells = "".join(map(texts.format, ("a", "x"))) + day + "</table:table-cell>"
    empty = '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>'
    path = open_document(
        tmp_path, f"<table:table-row>{header}</table:table-row><table:table-row>{cells}</table:table-row>{empty}"
    )
    row = read(SOURCE, path, Data(source="rows.ods", slices=("day",))).to_dicts()
    assert [(each["input"], each["slices"]) for each in row] == [("a", '{"day":"2024-02-29"}')]


def test_a_bomb_is_refused_before_it_is_opened_whatever_it_says_of_its_size(tmp_path):
    path = workbook(tmp_path, ("text", "label"), ("a", "x"))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/image1.xml", bytes(100 << 20))
    whole = path.read_bytes()
    claimed = whole.replace((100 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert claimed != whole
    for content in (whole, claimed):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"zip bomb: [\d,]+ bytes that unpack to more than") as caught:
            read(SOURCE, path, DATA)
        assert caught.value.where == "rows.xlsx"


def test_what_unpacks_to_more_than_any_workbook_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacked, "MOST_BYTES", 5000)
    with pytest.raises(DataError, match="zip bomb"):
        read(SOURCE, workbook(tmp_path, ("text", "label"), ("a", "x")), DATA)


def test_a_sheet_that_no_memory_can_hold_is_an_error_and_not_the_end_of_the_process(tmp_path):
    path = workbook(tmp_path, ("text", "label"), ("a", "x"))
    book = openpyxl.load_workbook(path)
    book.active["XFD1048576"] = "a cell far off"
    book.save(path)
    with pytest.raises(DataError, match="6 GiB of memory") as caught:
        read(SOURCE, path, DATA)
    assert "far below" in caught.value.fix


def test_a_password_is_said_to_be_one(tmp_path):
    # What Excel encrypts is such a container, with a stream of this name.
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000) + "EncryptedPackage".encode("utf-16-le")
    (tmp_path / "rows.xlsx").write_bytes(content)
    with pytest.raises(DataError, match="password"):
        read(SOURCE, tmp_path / "rows.xlsx", DATA)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"text,label\na,x\n", "not a workbook"),
        (b"<html><table><tr><td>text</td></tr></table></html>", "not a workbook"),
        (b"PK\x03\x04 and no more", "not a workbook"),
    ],
)
def test_a_file_that_is_no_workbook_is_refused(tmp_path, content, says):
    (tmp_path / "rows.xlsx").write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        read(SOURCE, tmp_path / "rows.xlsx", DATA)
    assert caught.value.fix


def test_a_file_cut_short_or_damaged_gives_rows_or_an_error_that_says_so(tmp_path):
    path = workbook(tmp_path, ("text", "label"), *((f"words {n}", "ab"[n % 2]) for n in range(300)))
    whole = path.read_bytes()
    chance = random.Random(0)
    for length in (10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read(SOURCE, path, DATA)
    for _ in range(10):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            assert read(SOURCE, path, DATA).height == 300
        except DataError as error:
            assert error.fix


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "the sheet is empty"),
        ([("text", "label")], "a header, but no rows"),
        ([("body", "label"), ("a", "x")], "no column 'text'"),
        ([("text", "label", "label"), ("a", "x", "y")], "two columns 'label'"),
    ],
)
def test_a_sheet_that_cannot_be_used_is_refused(tmp_path, rows, says):
    with pytest.raises(DataError, match=says):
        read(SOURCE, workbook(tmp_path, *rows), DATA)
