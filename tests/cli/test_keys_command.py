"""`lifeloop keys`: a key is shown once, and whatever is done to it stays in the list."""

import json

import msgspec
import pytest

from lifeloop.core.keys import hash_secret, read_key
from small_project import assert_clear, call, ledger_of, small_project


@pytest.fixture
def project(tmp_path):
    return small_project(tmp_path / "news")


def create(project, *arguments) -> tuple[str, str]:
    said = call("-C", project, "keys", "create", "website", *arguments)
    assert said.code == 0, said.err
    return read_key(said.out.strip())


def listed(project) -> list[dict]:
    return json.loads(call("-C", project, "keys", "list", "--json").out)


def test_the_key_alone_is_on_standard_output_and_only_its_hash_is_kept(project):
    identifier, secret = create(project)
    with ledger_of(project) as ledger:
        (row,) = ledger.key_rows()
    assert (row.id, row.hash) == (identifier, hash_secret(secret))
    for file in (project / ".lifeloop").rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()
    said = call("-C", project, "keys", "list")
    assert identifier in said.out
    assert secret not in said.all


def test_what_it_may_do_and_how_much(project):
    create(
        project, "--scope", "infer", "--requests-per-minute", 60, "--usd-per-day", 2.5, "--expires", 30, "--by", "Ann"
    )
    create(project, "--project", "news", "--project", "other")
    first, second = listed(project)
    assert first["scopes"] == ["infer"]
    assert first["limits"] == {"requests_per_minute": 60, "tokens_per_minute": 0, "usd_per_day": 2.5}
    assert first["expires"] - first["created"] == 30 * 86400
    assert first["created_by"] == "Ann"
    assert (second["expires"], second["overlap"], second["source"]) == (None, None, "ledger")
    assert (second["scopes"], second["projects"]) == (["infer", "feedback"], ["news", "other"])
    plain = call("-C", project, "keys", "list").out
    assert "60 requests a minute, 2.5 USD a day, expires" in plain
    assert "for news, other" in plain


def test_rotate_limit_revoke(project):
    identifier, secret = create(project)
    rotated = call("-C", project, "keys", "rotate", identifier, "--overlap", 2)
    assert read_key(rotated.out.strip())[0] == identifier
    assert read_key(rotated.out.strip())[1] != secret
    assert "the one before works until" in rotated.err
    assert "7 tokens a minute" in call("-C", project, "keys", "limit", identifier, "--tokens-per-minute", 7).out
    assert "7 tokens" not in call("-C", project, "keys", "limit", identifier, "--tokens-per-minute", 0).out
    assert "revoked" in call("-C", project, "keys", "revoke", identifier).out
    assert [state["state"] for state in listed(project)] == ["revoked"]


def test_json_says_the_same(project):
    made = json.loads(call("-C", project, "keys", "create", "website", "--json").out)
    assert (read_key(made["key"])[0], made["works_until"]) == (made["id"], None)
    rotated = json.loads(call("-C", project, "keys", "rotate", made["id"], "--json").out)
    assert rotated["works_until"] > 0
    limited = json.loads(call("-C", project, "keys", "limit", made["id"], "--usd-per-day", 1, "--json").out)
    assert limited["limits"] == {"requests_per_minute": 0, "tokens_per_minute": 0, "usd_per_day": 1.0}
    assert json.loads(call("-C", project, "keys", "revoke", made["id"], "--json").out)["state"] == "revoked"


def test_without_keys_the_list_says_what_that_means(project):
    assert "the gateway answers everybody" in call("-C", project, "keys", "list").out
    assert listed(project) == []


def test_declared_keys_are_listed_too(project, tmp_path, monkeypatch):
    secret = "s" * 32
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([{"key": f"ll-web-{secret}", "scopes": ["infer"], "requests_per_minute": 600}]))
    monkeypatch.setenv("LIFELOOP_API_KEYS_FILE", str(file))
    said = call("-C", project, "keys", "list")
    assert said.out == "web  web, valid, infer, 600 requests a minute, declared in LIFELOOP_API_KEYS_FILE\n"
    create(project)
    own, declared = listed(project)
    assert (own["name"], declared["id"], declared["source"]) == ("website", "web", "LIFELOOP_API_KEYS_FILE")
    assert declared["limits"]["requests_per_minute"] == 600
    assert secret not in said.all


def test_an_empty_list_of_declared_keys_lets_nobody_in(project, monkeypatch):
    monkeypatch.setenv("LIFELOOP_API_KEYS", "[]")
    assert "the gateway answers nobody" in call("-C", project, "keys", "list").out


def test_the_beginning_of_an_id_will_do(project):
    (first, _), (second, _) = create(project), create(project)
    cut = next(first[:n] for n in range(1, 13) if not second.startswith(first[:n]))
    assert first in call("-C", project, "keys", "limit", cut, "--usd-per-day", 1).out
    assert read_key(call("-C", project, "keys", "rotate", cut).out.strip())[0] == first
    assert "revoked" in call("-C", project, "keys", "revoke", cut).out
    assert [state["state"] for state in listed(project)] == ["revoked", "valid"]
    with ledger_of(project) as ledger:  # two that begin alike whatever chance gives
        row = ledger.key_rows()[0]
        for sequence, identifier in ((6, "same1"), (7, "same2")):
            assert ledger.add_key(msgspec.structs.replace(row, sequence=sequence, id=identifier))
    assert_clear(call("-C", project, "keys", "revoke", "same"), "2 API keys begin with 'same'", "same1, same2")
    assert_clear(call("-C", project, "keys", "revoke", ""), "there is no API key ''")


def test_a_key_for_another_project_is_made_with_a_warning(project):
    said = call("-C", project, "keys", "create", "website", "--project", "foo")
    assert said.code == 0 and "this project is 'news'" in said.err
    assert "this project" not in call("-C", project, "keys", "create", "website", "--project", "news").err


def test_slips_are_answered_with_a_remedy(project, tmp_path):
    identifier, _ = create(project)
    assert_clear(call("-C", project, "keys", "revoke", "nobody"), "there is no API key 'nobody'", "keys list")
    assert_clear(call("-C", project, "keys", "limit", identifier), "name a limit")
    assert_clear(call("-C", project, "keys", "create", " "), "a key without a name")
    assert_clear(call("-C", project, "keys", "create", "x", "--scope", "all"), "all")
    assert_clear(call("-C", project, "keys", "create", "x", "--requests-per-minute", -1), "-1")
    assert_clear(call("-C", tmp_path, "keys", "list"), "there is no brief here")
    call("-C", project, "keys", "revoke", identifier)
    assert_clear(call("-C", project, "keys", "rotate", identifier), "is revoked", "keys create")
