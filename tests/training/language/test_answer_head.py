"""The cheaper last layer: the same numbers and gradients as TRL's own."""

import pytest
import torch
from tiny_training import VOCABULARY, tiny_llama
from trl.trainer.utils import add_fused_lm_head

from lifeloop.training.language import answer_head
from lifeloop.training.language.answer_head import answers_only

OUTPUTS = ("log_probs", "entropy", "is_top1")


def batch():
    ids = torch.randint(2, VOCABULARY, (4, 12), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, :8] = -100
    labels[2] = -100  # a row without an answer
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def both():
    torch.manual_seed(0)
    theirs = tiny_llama()
    ours = tiny_llama()
    ours.load_state_dict(theirs.state_dict())
    for model in (theirs, ours):
        add_fused_lm_head(model, outputs=OUTPUTS)
    answers_only(ours)
    return theirs, ours


@pytest.mark.parametrize("chunk", [1024, 5])
def test_it_gives_what_trl_gives_and_the_same_gradients(monkeypatch, chunk):
    monkeypatch.setattr(answer_head, "CHUNK", chunk)
    theirs, ours = both()
    expected, found = (model(**batch(), fused_lm_head=True) for model in (theirs, ours))
    assert torch.equal(found.label_mask, expected.label_mask)
    for name in ("loss", "log_probs", "entropy", "is_top1"):
        assert torch.allclose(getattr(found, name), getattr(expected, name), atol=1e-5), name
    expected.loss.backward()
    found.loss.backward()
    for (name, one), (_, other) in zip(theirs.named_parameters(), ours.named_parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-6), name


def test_a_batch_without_any_answer_gives_a_zero_that_can_be_trained_on():
    _, ours = both()
    nothing = batch()
    nothing["labels"][:] = -100
    loss = ours(**nothing, fused_lm_head=True).loss
    loss.backward()
    assert loss.item() == 0.0


def test_asked_for_logits_the_model_answers_as_before():
    theirs, ours = both()
    asked = {name: value for name, value in batch().items() if name != "labels"}
    assert torch.equal(theirs(**asked).logits, ours(**asked).logits)
