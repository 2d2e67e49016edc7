"""Files that settings name are part of a candidate."""

import pytest

from lifeloop.core.errors import BriefError
from lifeloop.lifecycle.surroundings import settings_files
from lifeloop.project import open_project
from small_project import brief, run, small_project, texts


def test_a_file_that_only_a_search_names_is_looked_for_and_belongs_to_the_candidate(tmp_path):
    folder = small_project(tmp_path / "news")
    searched = '\n[candidates.wide]\nkind = "features"\n[candidates.wide.search]\nengineered = [[], ["own.py:one"]]\n'
    (folder / "lifeloop.toml").write_text((folder / "lifeloop.toml").read_text() + searched)
    with pytest.raises(BriefError, match=r"own\.py"):
        open_project(folder)
    (folder / "own.py").write_text("def one(texts):\n    return [[len(text)] for text in texts]\n")
    before = settings_files(open_project(folder), "wide")
    (folder / "own.py").write_text("def one(texts):\n    return [[1.0] for text in texts]\n")
    assert before != settings_files(open_project(folder), "wide") != ""


def test_an_edited_file_of_words_makes_the_candidate_again_and_no_other(tmp_path):
    candidates = '[candidates.majority]\nkind = "majority"\n[candidates.wide]\nkind = "features"\n'
    listed = candidates + '[candidates.wide.lexicons]\nmoney = "money.txt"\n'
    folder = small_project(tmp_path / "news", brief(candidates=listed), texts(160))
    assert (folder / "lifeloop.toml").exists()
    (folder / "money.txt").write_text("bank\nstock\n")
    run(folder)
    assert run(folder).subjects("start") == []
    (folder / "money.txt").write_text("bank\nstock\nprofit\n")
    again = run(folder)
    assert "explore make wide" in again.subjects("done")
    assert "explore make majority" in again.subjects("kept")
