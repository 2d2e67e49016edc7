"""Computes a language model's last layer only where there is something to learn, which on a CPU TRL does not.

The last layer multiplies by the whole vocabulary (49,000 tokens for SmolLM2: a fifth of all weights), and of a prompt
with its answer only the answer is learned. The results are those of `trl.trainer.utils.add_fused_lm_head`, which does
the same on GPUs; time and memory are not.
"""

import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CHUNK = 1024
"""Positions whose logits are held at once: 200 MB for 49,000 tokens."""


def answers_only(model: Any) -> None:
    """Give the model of a TRL trainer the cheaper head. Call it on `trainer.model` after the trainer was made.

    Leaves models whose logits are scaled or capped, and anything on a GPU, to TRL's own.
    """
    from trl.trainer.utils import FusedCausalLMOutput

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = base.config.get_text_config()
    special = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")
    if any(getattr(config, name, None) is not None for name in special):
        return
    theirs = base.forward

    def forward(self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        elsewhere = labels is None or labels.device.type != "cpu" or "shift_labels" in kwargs
        if not fused_lm_head or elsewhere or kwargs.get("output_router_logits"):
            if fused_lm_head:
                kwargs["fused_lm_head"] = True
            return theirs(*args, labels=labels, **kwargs)
        kwargs["use_cache"] = False
        hidden = self.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        mask = labels[:, 1:] != -100
        found = _scored(self.get_output_embeddings(), hidden[mask], labels[:, 1:][mask])
        # Scattered, so that a batch without an answer still gives a zero that gradients pass through.
        said, doubt, first = (part.new_zeros(mask.shape).masked_scatter(mask, part) for part in found)
        loss = -said.sum() / mask.sum().clamp(min=1)
        return FusedCausalLMOutput(loss=loss, log_probs=said, entropy=doubt, is_top1=first, label_mask=mask)

    base.forward = types.MethodType(forward, base)


def _scored(
    head: Any, hidden: "torch.Tensor", targets: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Return of each position (n, width) its target's log-probability, the entropy, and whether it is the likeliest."""
    import torch
    from torch.utils.checkpoint import checkpoint

    if len(targets) <= CHUNK:
        return _scored_at_once(head, hidden, targets)
    parts = [
        checkpoint(_scored_at_once, head, some, wanted, use_reentrant=False)  # logits are made again, not kept
        for some, wanted in zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True)
    ]
    said, doubt, first = (torch.cat(column) for column in zip(*parts, strict=True))
    return said, doubt, first


def _scored_at_once(
    head: Any, hidden: "torch.Tensor", targets: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    import torch

    log_probs = head(hidden).float().log_softmax(dim=-1)
    said = log_probs.gather(1, targets[:, None])[:, 0]
    with torch.no_grad():
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
        first = log_probs.argmax(dim=-1) == targets
    return said, entropy, first
