"""Which weights of a language model are trained: a low-rank addition to its layers (LoRA, DoRA), or all of them.

Takes a loaded model, gives the one to train; and after training one model again, with the addition merged in. Thin over
PEFT. LoRA: Hu et al., 2021; DoRA: Liu et al., 2024.
"""

from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Method = Literal["lora", "dora", "full"]
WRITTEN_IN_FULL = 2_000_000_000
"""Models of up to so many weights are merged and written in float32, larger ones in the numbers they were opened in."""


class Weights(Struct, frozen=True):
    """What is trained, and how much freedom it has."""

    method: Method = "lora"
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0

    @property
    def words(self) -> str:
        """How a record names it."""
        names = {"lora": f"LoRA, rank {self.rank}", "dora": f"DoRA, rank {self.rank}", "full": "all weights"}
        return names[self.method]


def opened_in(method: Method, dtype: str) -> str:
    """Return the numbers to open the parent in: those that are trained must be float32, to take small steps."""
    return "float32" if method == "full" else dtype


def trained_part(model: "PreTrainedModel", weights: Weights) -> Any:
    """Return the model to train. LoRA goes into every linear layer but the last; the rest is frozen."""
    if weights.method == "full":
        return model
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=weights.rank,
        lora_alpha=weights.alpha,
        lora_dropout=weights.dropout,
        use_dora=weights.method == "dora",
        target_modules="all-linear",
    )
    return nameless(get_peft_model(model, config))


def nameless(model: Any) -> Any:
    """Return a PEFT model that does not know where its parent came from: saving it would ask the hub about that."""
    for config in model.peft_config.values():
        config.base_model_name_or_path = None
    return model


def merged(model: Any) -> "PreTrainedModel":
    """Return one model with what was trained in it. The one given is used up."""
    import torch

    if sum(tensor.numel() for tensor in model.parameters()) <= WRITTEN_IN_FULL:
        model = model.to(torch.float32)  # in bfloat16 small additions would be rounded away
    whole: PreTrainedModel = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    whole.__dict__.pop("forward", None)  # the head that trainers put in its place
    return whole.eval()
