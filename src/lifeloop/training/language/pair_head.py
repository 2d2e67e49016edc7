"""The cheaper last layer of `answer_head` for trainers of preferences, which also log the mean of all logits.

That mean is for a curve that nobody here looks at: it is given as zero rather than computed.
"""

import types
from typing import Any

from lifeloop.training.language.answer_head import answers_only


def answers_only_of_pairs(model: Any) -> None:
    """Give the model of TRL's DPO or KTO trainer the cheaper head. Call it after the trainer was made."""
    import torch

    answers_only(model)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    theirs = base.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        del self
        found = theirs(*args, **kwargs)
        if kwargs.get("fused_lm_head") and found.mean_logits is None:
            found["mean_logits"] = torch.zeros_like(found.log_probs)
        return found

    base.forward = types.MethodType(forward, base)
