"""Tuning a language model on examples: what it writes, where it goes on after a stop, and on several processes."""

import msgspec
import pytest
from safetensors.torch import load_file
from tiny_parent import adapt, examples, materials, served_accuracy

from lifeloop.core.errors import ModelError
from lifeloop.training.language.sft import Settings
from lifeloop.training.record import load_record

QUICK = Settings(rank=8, alpha=16, epochs=12, batch=8, learning_rate=1e-2, dtype="float32", max_tokens=128)


def weights(folder):
    return load_file(folder / "language" / "model.safetensors")


def same(one, other, tolerance=1e-4) -> bool:
    return all((one[name].float() - other[name].float()).abs().max() < tolerance for name in one)


@pytest.fixture(scope="module")
def child(parent, tmp_path_factory):
    folder = tmp_path_factory.mktemp("child")
    return adapt("sft", materials(parent, QUICK), folder), folder


def test_a_tuned_model_knows_the_labels_and_says_how_it_came_about(child):
    decided, folder = child
    assert decided.score >= 0.9
    assert decided.settings == {"shots": 0}
    record = load_record(folder)
    assert record.method == "sft (LoRA, rank 8)"
    assert (record.seed, record.n_examples, record.settings["batch"]) == (3, 64, 8)
    scores = [point.score for point in record.curve if point.score is not None]
    assert len(scores) == 4 and max(scores) == decided.score
    assert all(point.validation_loss is not None for point in record.curve if point.score is not None)


def test_what_was_trained_is_merged_into_one_model(child, parent):
    _, folder = child
    before, after = weights(parent), weights(folder)
    assert before.keys() == after.keys()
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not same({name: before[name]}, {name: after[name]})
    embeddings = "model.embed_tokens.weight"
    assert same({embeddings: before[embeddings]}, {embeddings: after[embeddings]})
    assert not (folder / "adapter").exists()


def test_serving_finds_as_many_right_as_training_did(child, parent):
    decided, folder = child
    assert served_accuracy(materials(parent, QUICK), folder) == pytest.approx(decided.score)


def test_a_child_may_be_a_parent(child, tmp_path):
    _, folder = child
    again = adapt("sft", materials(folder, msgspec.structs.replace(QUICK, epochs=1)), tmp_path / "grandchild")
    assert again.score >= 0.8


def test_stopped_in_the_middle_and_run_again_gives_the_same_model(child, parent, tmp_path):
    class Stopped(Exception):
        pass

    def stop(done, total, note):
        if done == 40:
            raise Stopped

    given = materials(parent, QUICK, scratch=tmp_path / "scratch")
    with pytest.raises(Stopped):
        adapt("sft", given, tmp_path / "first", stop)
    again = adapt("sft", given, tmp_path / "second")
    assert again.score == pytest.approx(child[0].score)
    assert same(weights(child[1]), weights(tmp_path / "second"))
    assert load_record(tmp_path / "second").events[0].startswith("resumed at step ")


@pytest.mark.slow
def test_dora_learns_too(parent, tmp_path):
    settings = msgspec.structs.replace(QUICK, method="dora", dropout=0.05)
    assert adapt("sft", materials(parent, settings), tmp_path / "dora").score >= 0.75


@pytest.mark.slow
def test_packed_rows_teach_the_same(parent, tmp_path):
    settings = msgspec.structs.replace(QUICK, packing=True, batch=1, epochs=14, max_tokens=256)
    assert adapt("sft", materials(parent, settings), tmp_path / "packed").score >= 0.9


def test_a_parent_that_is_no_language_model_is_refused_in_words(parent, tmp_path):
    with pytest.raises(ModelError, match="kind 'features' has no language model") as caught:
        adapt("sft", materials(parent, QUICK, parent_kind="features"), tmp_path / "child")
    assert "llamacpp" in caught.value.fix


def test_texts_are_learned_as_they_are_written(parent, tmp_path):
    given = materials(parent, QUICK, task="generate", labels=(), train=examples(16), validation=examples(8, seed=1))
    decided = adapt("sft", given, tmp_path / "child")
    curve = [point.validation_loss for point in load_record(tmp_path / "child").curve if point.validation_loss]
    assert curve[-1] < curve[0] and decided.score == pytest.approx(-min(curve))


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(parent, tmp_path):
    settings = msgspec.structs.replace(QUICK, epochs=1, learning_rate=5e-3, evaluations=2)
    alone = adapt("sft", materials(parent, settings), tmp_path / "alone")
    seen, watched = [], []
    both = adapt(
        "sft",
        materials(
            parent,
            msgspec.structs.replace(settings, processes=2, batch=4),
            watch=lambda step, score: watched.append((step, score)),
        ),
        tmp_path / "both",
        lambda *told: seen.append(told),
    )
    assert same(weights(tmp_path / "alone"), weights(tmp_path / "both"), tolerance=2e-3)
    assert both.score == pytest.approx(alone.score, abs=0.05)
    assert [step for step, _ in watched] == [4, 8] and seen[-1][:2] == (8, 8)


@pytest.mark.slow
def test_an_error_in_a_group_of_processes_is_told_as_it_is(parent, tmp_path):
    settings = msgspec.structs.replace(QUICK, processes=2)
    with pytest.raises(ModelError, match="has no language model to tune"):
        adapt("sft", materials(parent, settings, parent_kind="majority"), tmp_path / "child")
