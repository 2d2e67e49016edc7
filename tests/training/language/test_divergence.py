"""KL divergence from the parent: none from itself, more the further a model moved, and as it is defined."""

import copy

import pytest
import torch
from tiny_training import tiny_llama

from lifeloop.training.language.divergence import kl_to_parent
from lifeloop.training.language.likelihood import log_probabilities

ROWS = [((1, 2, 3), (4, 5)), ((6, 7), (8, 9, 10, 11)), ((3,) * 9, (5,))]


def moved(model, by):
    torch.manual_seed(1)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in other.parameters():
            tensor.add_(by * torch.randn_like(tensor))
    return other


@pytest.fixture(scope="module")
def parent():
    torch.manual_seed(0)
    return tiny_llama()


def test_none_to_itself_and_more_the_further_it_moved(parent):
    near, far = (kl_to_parent(parent, moved(parent, by), ROWS) for by in (0.02, 0.1))
    assert kl_to_parent(parent, copy.deepcopy(parent), ROWS) == 0.0
    assert 0.0 < near < far


def test_it_is_the_mean_over_the_answers_tokens(parent):
    child = moved(parent, 0.1)
    prompt, answer = ROWS[1]
    with torch.no_grad():
        ids = torch.tensor([[*prompt, *answer]])
        old, new = (model(input_ids=ids).logits[0, 1:5].log_softmax(dim=-1) for model in (parent, child))
    expected = float((new.exp() * (new - old)).sum() / 4)
    assert kl_to_parent(parent, child, ROWS[1:2]) == pytest.approx(expected, rel=0.05)  # bfloat16 where there is


def test_log_probabilities_come_in_the_order_of_the_rows_whatever_the_batch(parent):
    together, alone = log_probabilities(parent, ROWS), [log_probabilities(parent, [row])[0] for row in ROWS]
    assert [len(each) for each in together] == [2, 4, 1]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=0.05)
