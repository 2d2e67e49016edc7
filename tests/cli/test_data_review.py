import csv

from small_project import DATA, assert_clear, brief, call, edit, small_project, texts

NOISY = [(text, label) for text, label in texts(noise=0.0)]


def flipped():
    rows = list(NOISY)
    for place in range(0, 40, 8):  # these are of sport by their words
        rows[place] = (rows[place][0], "health")
    return rows


def reviewed(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_what_a_person_decides_of_suspected_rows_is_heeded(tmp_path):
    folder = small_project(tmp_path / "p", rows=flipped())
    assert call("-C", folder, "data", "build").code == 0
    assert call("-C", folder, "data", "review", "--to", folder / "review.csv").code == 0
    rows = reviewed(folder / "review.csv")
    suspected = {row["text"] for row in rows}
    wrong = [
        text for text, label in flipped() if label == "health" and text in {t for t, was in NOISY if was == "sport"}
    ]
    assert suspected & set(wrong)

    for row in rows:
        row["keep"] = "yes"
        row["label"] = dict(NOISY)[row["text"]]
    with (folder / "review.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    edit(folder, data=DATA + '[data.refine]\nreviewed = "review.csv"\n')
    assert call("-C", folder, "data", "build").code == 0
    assert call("-C", folder, "data", "review", "--to", folder / "again.csv").code == 0

    assert not suspected & {row["text"] for row in reviewed(folder / "again.csv")}


def test_answers_are_not_overwritten(tmp_path):
    folder = small_project(tmp_path / "p")
    (folder / "review.csv").write_text("mine", encoding="utf-8")
    said = call("-C", folder, "data", "review", "--to", folder / "review.csv")
    assert_clear(said, "review.csv is there already")
    assert (folder / "review.csv").read_text(encoding="utf-8") == "mine"


def test_an_answer_that_is_neither_yes_nor_no_is_named(tmp_path):
    folder = small_project(tmp_path / "p", brief(data=DATA + '[data.refine]\nreviewed = "review.csv"\n'))
    (folder / "review.csv").write_text("text,label,keep\nhello,sport,yes\nbye,sport,perhaps\n", encoding="utf-8")
    assert_clear(call("-C", folder, "data", "build"), "review.csv:3", "perhaps")
