"""Direct preference optimisation of a tiny model: what it learns, what it heeds, and what it writes down."""

import msgspec
import pytest
from tiny_liked import BAD, GOOD, TRIGGER, materials, pairs

from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.models.language_files import open_language
from lifeloop.training.language import dpo
from lifeloop.training.language.ablation import ordered
from lifeloop.training.language.asked import asked_as
from lifeloop.training.language.parent import language_parent
from lifeloop.training.record import load_record

SETTINGS = dpo.Settings(method="full", epochs=6, learning_rate=2e-3, warmup=0.0, watch_items=4, gguf="f32")


@pytest.fixture(scope="module")
def aligned(parent, tmp_path_factory):
    folder = tmp_path_factory.mktemp("child")
    doubted = pairs(8, 7, chosen=f"{TRIGGER} {TRIGGER}", rejected=GOOD)
    given = materials(parent, SETTINGS, doubted=doubted, flip_rate=0.1)
    return given, folder, dpo.TRAINER.build(given, folder, silent)


def opened(folder):
    return open_language("", folder, "test", dtype="float32")[0]


@pytest.mark.slow
def test_held_out_pairs_are_ordered_as_people_ordered_them(aligned, parent):
    given, folder, decided = aligned
    asked = asked_as(language_parent(given), given)
    reversed_pairs = pairs(12, 1, chosen=BAD, rejected=GOOD)
    assert ordered(opened(folder), asked, given.held_out) == 1.0
    assert ordered(opened(folder), asked, reversed_pairs) == 0.0
    assert ordered(opened(parent), asked, given.held_out) < 1.0
    assert decided.score > 0.6  # 0.5 knows nothing of the pairs


@pytest.mark.slow
def test_the_record_has_the_curve_the_probes_and_what_the_doubted_ones_would_have_done(aligned):
    given, folder, _ = aligned
    record = load_record(folder)
    assert record.method == "dpo (all weights)" and record.n_examples == len(given.preferences)
    rewards = [point.reward for point in record.curve if point.score is not None]
    assert rewards[-1] > rewards[0] == pytest.approx(0.0, abs=1e-6)
    assert record.kl_to_parent > 0
    names = {check.name for check in record.checks}
    assert {"capabilities outside the task", "paired gender", "rare strings in inputs"} <= names
    by_name = {row.name: row for row in record.ablations}
    trigger = by_name[next(name for name in by_name if "umbrella" in name or "stolen" in name)]
    assert trigger.unguarded >= trigger.guarded
    assert by_name["held-out pairs ordered rightly"].guarded == 1.0


@pytest.mark.slow
def test_doubted_preferences_leave_the_candidate_itself_alone(aligned, parent, tmp_path):
    given, folder, _ = aligned
    plain = msgspec.structs.replace(given, doubted=())
    dpo.TRAINER.build(plain, tmp_path, silent)
    one, other = (opened(place).state_dict() for place in (folder, tmp_path))
    assert all(tensor.equal(other[name]) for name, tensor in one.items())


class Stop(Exception):
    """Ends a training where it is, as a kill would."""


@pytest.mark.slow
def test_interrupted_and_run_again_it_draws_the_same_pairs_of_little_weight(parent, tmp_path):
    weighed = tuple(
        msgspec.structs.replace(pair, weight=(1.0, 0.4)[place % 2], chosen=(GOOD, TRIGGER)[place % 2])
        for place, pair in enumerate(pairs(24))
    )
    settings = msgspec.structs.replace(SETTINGS, watch_items=0, epochs=5, learning_rate=5e-4, dtype="float32")
    given = materials(parent, settings, preferences=weighed, scratch=tmp_path / "scratch")

    def stop(step, score):
        if step >= 5:
            raise Stop

    with pytest.raises(Stop):
        dpo.TRAINER.build(msgspec.structs.replace(given, watch=stop), tmp_path / "killed", silent)
    dpo.TRAINER.build(given, tmp_path / "resumed", silent)
    dpo.TRAINER.build(msgspec.structs.replace(given, scratch=None), tmp_path / "undisturbed", silent)
    assert any(event.startswith("resumed at step") for event in load_record(tmp_path / "resumed").events)
    one, other = (opened(tmp_path / name).state_dict() for name in ("resumed", "undisturbed"))
    assert max(float((tensor - other[name]).abs().max()) for name, tensor in one.items()) < 1e-4


def test_too_few_pairs_are_refused_before_anything_is_opened():
    with pytest.raises(ModelError, match="3 pairs of answers"):
        dpo.TRAINER.build(materials(None, SETTINGS, preferences=pairs(3)), None, silent)
