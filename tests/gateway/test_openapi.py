"""The OpenAPI description: made of the types on the wire, and kept by the gateway to the letter."""

import subprocess
import sys

import httpx
import jsonschema
import pytest
from gateway_scene import Says, Scene

from lifeloop.gateway import app
from lifeloop.gateway.endpoints.openapi import TABLE

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance"
)
"""All that this description can be held to. Left out is that whatever fits the schema be accepted: that one of `text`
and `texts` be given, or that a label be one of the project's, is said in words alone."""


class Embeds(Says):
    """Says something, and has vectors too."""

    def embed(self, texts):
        return [[float(len(text)), 1.0] for text in texts]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("openapi"))
    model = Embeds("billing")
    model.concurrency = 4
    scene.candidate("first", model)
    scene.release("first")
    with scene.running() as url:
        yield url


def test_the_table_and_the_application_name_the_same_paths():
    served = {(path, method) for path, methods in app._EXACT.items() for method in methods}
    served |= {(prefix, method) for prefix, methods in app._NAMED.items() for method in methods}
    told = {(row.path.partition("{")[0], row.method.upper()) for row in TABLE}
    assert served == told
    scopes = {path: methods["POST" if "POST" in methods else "GET"].scope for path, methods in app._EXACT.items()}
    assert all(scopes[row.path] == row.scope for row in TABLE if row.path in scopes)


def test_the_description_is_valid_and_its_examples_are_answered(url):
    api = httpx.get(f"{url}/openapi.json").json()
    assert api["openapi"] == "3.1.0" and api["info"]["title"] == "lifeloop: desk"
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", ()):
                path = path.replace("{" + parameter["name"] + "}", parameter["example"])
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            response = httpx.request(method, url + path, json=content and content["example"])
            expected = {"/v1/feedback": 404, "/": 307}.get(path, 200)
            assert response.status_code == expected, (path, response.text)
            told = operation["responses"][str(response.status_code)].get("content", {})
            kind = response.headers["content-type"].partition(";")[0]
            if kind == "application/json" and "schema" in told.get(kind, {}):
                schema = {**told[kind]["schema"], "components": api["components"]}
                jsonschema.validate(response.json(), schema)


def test_the_page_for_people_shows_every_path_and_brings_nothing_from_outside(url):
    page = httpx.get(f"{url}/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert all(row.path in page.text for row in TABLE)
    assert "<script" not in page.text and "http://" not in page.text and "https://" not in page.text


def test_the_address_alone_leads_to_that_page(url):
    assert httpx.get(f"{url}/").next_request.url == f"{url}/docs"
    assert "text/html" in httpx.get(url, follow_redirects=True).headers["content-type"]


@pytest.mark.slow
def test_schemathesis_finds_no_5xx_and_no_undocumented_status(url, tmp_path):
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *("--checks", CHECKS, "--max-examples", "20", "--seed", "1", "--no-color", "--continue-on-failure"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"Tested: {len(TABLE) - 1}" in done.stdout or f"Tested: {len(TABLE)}" in done.stdout
