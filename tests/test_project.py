import os
from pathlib import Path

import pytest

from lifeloop.core.errors import BriefError
from lifeloop.project import Project, baseline_name, directions, ledger_url, open_project

BRIEF = """
[project]
name = "support"
task = "classify"
[data]
source = "data.csv"
[[objectives]]
metric = "accuracy"
target = 0.9
[[objectives]]
metric = "p95_ms"
target = 50
[[objectives]]
metric = "calibration_error"
guard = true
[candidates.tfidf]
kind = "features"
[candidates.floor]
kind = "majority"
[candidates.api]
kind = "remote"
url = "http://127.0.0.1:9/v1"
model = "m"
prompt = "short"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LIFELOOP_LEDGER", "LIFELOOP_VAULT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "lifeloop.toml").write_text(BRIEF)
    prompt = tmp_path / "prompts" / "short"
    prompt.mkdir(parents=True)
    (prompt / "system.md").write_text("{{ instructions }}\n")
    (prompt / "user.md").write_text("Mail: {{ text }}\n")
    return tmp_path


def rewrite(folder: Path, old: str, new: str) -> Project:
    path = folder / "lifeloop.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return open_project(folder)


def test_a_project_is_its_brief_its_prompts_and_where_its_state_is(folder):
    project = open_project(folder)
    assert project.brief.project.name == "support"
    assert project.brief_text == BRIEF
    assert project.prompts["short"].user == "Mail: {{ text }}\n"
    assert project.ledger_url == f"sqlite:///{folder}/.lifeloop/ledger.db"
    assert project.vault_url == f"{folder}/.lifeloop/vault"
    assert not project.state.exists()  # opening writes nothing


def test_ledger_and_vault_are_made_on_first_use(folder):
    project = open_project(folder)
    ledger = project.open_ledger()
    assert ledger.cycles() == []
    ledger.close()
    vault = project.open_vault()
    assert vault.get(vault.put(b"x")) == b"x"
    assert (folder / ".lifeloop" / "ledger.db").exists()


def test_a_team_points_both_elsewhere(folder, monkeypatch):
    monkeypatch.setenv("LIFELOOP_LEDGER", "postgresql://db/x")
    monkeypatch.setenv("LIFELOOP_VAULT", "s3://bucket/x")
    project = open_project(folder)
    assert (project.ledger_url, project.vault_url) == ("postgresql://db/x", "s3://bucket/x")


def test_a_folder_is_known_by_its_full_path(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert open_project(Path()).folder == folder
    assert ledger_url(Path()) == f"sqlite:///{folder}/.lifeloop/ledger.db"


def test_whether_more_is_better_depends_on_the_metric(folder):
    assert directions(open_project(folder).brief) == {"accuracy": "max", "p95_ms": "min", "calibration_error": "min"}


def test_the_baseline_is_the_one_named_or_the_simplest(folder):
    assert baseline_name(open_project(folder).brief) == "floor"
    assert (
        baseline_name(rewrite(folder, "[candidates.tfidf]", '[gate]\nbaseline = "tfidf"\n[candidates.tfidf]').brief)
        == "tfidf"
    )


def test_without_a_simple_one_the_first_is_the_baseline(folder):
    assert baseline_name(rewrite(folder, 'kind = "majority"', 'kind = "features"').brief) == "tfidf"


OWN = """
[[objectives]]
metric = "misrouting"
target = 1.5
[metrics.misrouting]
kind = "costs"
wrong = 2.0
costs = [{ reference = "complaint", answer = "*", cost = 12 }]
[metrics.praise]
kind = "function"
function = "own.py:praise"
direction = "min"
failed = 1.0
[[objectives]]
metric = "praise"
guard = true
[candidates.tfidf]
"""


def test_objectives_may_name_metrics_that_the_brief_declares(folder):
    (folder / "own.py").write_text("def praise(input, reference, output, prediction): return 1.0\n")
    project = rewrite(folder, "[candidates.tfidf]\n", OWN)
    assert directions(project.brief)["misrouting"] == "min"
    assert directions(project.brief)["praise"] == "min"
    ranked = rewrite(folder, '"accuracy"', '"misrouting"')
    assert ranked.brief.primary.metric == "misrouting"


def test_a_declared_metric_is_checked_before_anything_runs(folder):
    with pytest.raises(BriefError, match=r"no file 'own\.py'") as caught:
        rewrite(folder, "[candidates.tfidf]\n", OWN)
    assert caught.value.where == "lifeloop.toml: metrics.praise.function"


# what can be wrong

WRONG = {
    "a task that is not installed": (
        'task = "classify"',
        'task = "clasify"',
        "lifeloop.toml: project.task",
        "'classify'",
    ),
    "a metric of another task": ('"accuracy"', '"token_f1"', "lifeloop.toml: objectives[0].metric", "accuracy"),
    "a first objective that is no quality": (
        '"accuracy"',
        '"p50_ms"',
        "lifeloop.toml: objectives[0].metric",
        "quality metric",
    ),
    "a kind that is not installed": (
        'kind = "features"',
        'kind = "feature"',
        "lifeloop.toml: candidates.tfidf.kind",
        "'features'",
    ),
    "a kind of another task": (
        'kind = "majority"',
        'kind = "gazetteer"',
        "lifeloop.toml: candidates.floor.kind",
        "extract",
    ),
    "a setting that there is not": (
        'kind = "features"',
        'kind = "features"\nngrams = 1',
        "lifeloop.toml: candidates.tfidf.ngrams",
        "",
    ),
    "a setting of the wrong type": (
        'kind = "features"',
        'kind = "features"\nc = "x"',
        "lifeloop.toml: candidates.tfidf.c",
        "",
    ),
    "a setting that is missing": ('model = "m"\n', "", "lifeloop.toml: candidates.api.model", "add `model"),
    "an adaptation that is not installed": (
        "[candidates.floor]",
        '[candidates.tuned]\nparent = "tfidf"\nadapt = "finetun"\n[candidates.floor]',
        "lifeloop.toml: candidates.tuned.adapt",
        "'finetune'",
    ),
    "a setting that an adaptation has not": (
        "[candidates.floor]",
        '[candidates.tuned]\nparent = "tfidf"\nadapt = "finetune"\nepoch = 1\n[candidates.floor]',
        "lifeloop.toml: candidates.tuned.epoch",
        "`epochs`",
    ),
    "a cascade of one": (
        "[candidates.floor]",
        '[candidates.one]\nkind = "cascade"\nmembers = ["tfidf"]\n[candidates.floor]',
        "lifeloop.toml: candidates.one.members",
        "",
    ),
    "a prompt outside the folder": ('prompt = "short"', 'prompt = "../../etc"', "lifeloop.toml", "folder in prompts/"),
    "a prompt that climbs out": ('prompt = "short"', 'prompt = "a/../../etc"', "lifeloop.toml", "folder in prompts/"),
    "a kind of personal data that there is not": (
        "[candidates.floor]",
        '[gateway.protection]\nredact = ["mial"]\n[candidates.floor]',
        "lifeloop.toml: gateway.protection.redact",
        "one of mail",
    ),
    "a region that there is not": (
        "[candidates.floor]",
        '[gateway.protection]\nregions = ["UK"]\n[candidates.floor]',
        "lifeloop.toml: gateway.protection.regions",
        "ISO 3166",
    ),
    "a filter's pattern that is none": (
        "[candidates.floor]",
        '[gateway.protection]\ninput_filters = ["pattern:(ab"]\n[candidates.floor]',
        "lifeloop.toml: gateway.protection.input_filters",
        "Python's re",
    ),
    "a filter that is not installed": (
        "[candidates.floor]",
        '[gateway.protection]\noutput_filters = ["leek"]\n[candidates.floor]',
        "lifeloop.toml: gateway.protection.output_filters",
        "'leak'",
    ),
    "a kind with a process of its own that there is not": (
        "[candidates.floor]",
        '[gateway.hosting]\nseparate = ["vllm", "llamacp"]\n[candidates.floor]',
        "lifeloop.toml: gateway.hosting.separate",
        "'llamacpp'",
    ),
    "a kind to mask in the data that there is not": (
        "[candidates.floor]",
        '[data.refine.personal_data]\nkinds = ["mial"]\n[candidates.floor]',
        "lifeloop.toml: data.refine.personal_data.kinds",
        "one of mail",
    ),
    "a hidden prompt": ('prompt = "short"', 'prompt = ".git"', "lifeloop.toml", "folder in prompts/"),
}


@pytest.mark.parametrize(("old", "new", "where", "remedy"), WRONG.values(), ids=WRONG)
def test_a_wrong_name_in_the_brief_is_found_before_anything_runs(folder, old, new, where, remedy):
    with pytest.raises(BriefError) as caught:
        rewrite(folder, old, new)
    assert caught.value.where == where
    assert remedy in caught.value.fix
    assert caught.value.fix


def test_a_folder_without_a_brief_says_how_to_make_one(tmp_path):
    with pytest.raises(BriefError, match="there is no brief here") as caught:
        open_project(tmp_path)
    assert caught.value.where == str(tmp_path / "lifeloop.toml")
    assert "lifeloop new" in caught.value.fix


@pytest.mark.parametrize("part", ["system", "user"])
def test_a_prompt_that_is_missing_names_the_file(folder, part):
    (folder / "prompts" / "short" / f"{part}.md").unlink()
    with pytest.raises(BriefError, match="no such file") as caught:
        open_project(folder)
    assert caught.value.where.endswith(f"prompts/short/{part}.md")


@pytest.mark.parametrize("name", ["lifeloop.toml", "prompts/short/user.md"])
def test_a_file_that_is_not_utf_8_says_so(folder, name):
    (folder / name).write_bytes(b"\xff\xfe text")
    with pytest.raises(BriefError, match="cannot be read") as caught:
        open_project(folder)
    assert caught.value.where.endswith(name)


def test_a_brief_that_is_a_folder_says_so(folder):
    (folder / "lifeloop.toml").unlink()
    (folder / "lifeloop.toml").mkdir()
    with pytest.raises(BriefError, match="cannot be read"):
        open_project(folder)


@pytest.mark.parametrize(
    ("part", "template", "says"),
    [
        ("user", "Answer.", "the input is not in the user prompt"),
        ("user", "{{ txt }}", "'txt' is undefined"),
        ("user", "{{ text", "the template fails"),
        ("user", "{{ text }} {{ 1 / 0 }}", "may not use arithmetic"),
        ("system", "{{ text }}", "'text' is undefined"),
        ("system", "{{ labels.append('x') }}", "the template fails"),
        ("system", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "may not use calls"),
        ("system", "{% include '/etc/passwd' %}", "the template fails"),
    ],
)
def test_a_slip_in_a_template_is_found_before_anything_is_spent(folder, part, template, says):
    (folder / "prompts" / "short" / f"{part}.md").write_text(template)
    with pytest.raises(BriefError) as caught:
        open_project(folder)
    assert says in caught.value.what
    assert caught.value.where == f"prompts/short/{part}.md"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_brief_that_may_not_be_read_says_so(folder):
    (folder / "lifeloop.toml").chmod(0)
    with pytest.raises(BriefError, match="cannot be read"):
        open_project(folder)


def test_an_adaptation_that_cannot_start_from_its_parent_is_found_when_the_brief_is_read(folder):
    wrong = '[candidates.small]\nparent = "tfidf"\nadapt = "onnx"\n'
    (folder / "lifeloop.toml").write_text(BRIEF + wrong)
    with pytest.raises(BriefError, match="'onnx' cannot start from 'tfidf', which is of kind features") as caught:
        open_project(folder)
    assert caught.value.where == "lifeloop.toml: candidates.small.parent"
    assert "encoder" in caught.value.fix


def test_a_grandchild_goes_by_what_its_parent_became(folder):
    encoder = '[candidates.e]\nkind = "encoder"\nmodel = "m"\n[candidates.t]\nparent = "e"\nadapt = "finetune"\n'
    good = '[candidates.o]\nparent = "t"\nadapt = "onnx"\n'
    (folder / "lifeloop.toml").write_text(BRIEF + encoder + good)
    open_project(folder)
    (folder / "lifeloop.toml").write_text(BRIEF + encoder + good + '[candidates.x]\nparent = "o"\nadapt = "finetune"\n')
    with pytest.raises(BriefError, match="of kind onnx-encoder"):
        open_project(folder)


def test_columns_that_requests_do_not_bring_are_found_when_the_brief_is_read(folder):
    data = BRIEF.replace('source = "data.csv"', 'source = "data.csv"\nslices = ["channel"]')
    (folder / "lifeloop.toml").write_text(data + '[candidates.wide]\nkind = "features"\ncolumns = ["chanel"]\n')
    with pytest.raises(BriefError, match=r"no column of data\.slices") as caught:
        open_project(folder)
    assert caught.value.fix == "did you mean 'channel'?"
