"""The settings that all adaptations to preferences or rewards have. Imports nothing heavy."""

from typing import Literal

from msgspec import Struct

from lifeloop.core.bounds import Count, NotNegative, Positive, Share, Whole
from lifeloop.training.language.lora import Method


class Alignment(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is trained, how long, how fast, and what is watched meanwhile."""

    method: Method = "lora"
    """"lora" and "dora" train a low-rank addition to the weights, "full" all weights."""
    rank: Count = 16
    alpha: Positive = 32.0
    dropout: Share = 0.0
    beta: NotNegative = 0.1
    """How strongly the child is held to the parent."""
    epochs: Positive = 1.0
    batch: Count = 8
    """Rows to a step on each device. Halved, with as many steps, where memory runs out."""
    learning_rate: NotNegative = 1e-4
    warmup: Share = 0.1
    """Share of the steps over which the learning rate rises."""
    max_tokens: Count = 512
    """Prompts and answers together are cut to so many tokens."""
    patience: Whole = 0
    """Stop after so many measurements that were no better; 0 never does."""
    minutes: NotNegative = 0.0
    """Stop after so long, wherever it is; 0 sets no bound."""
    evaluations: Whole = 4
    """How often the held-out preferences and the watch are looked at."""
    watch_items: Whole = 24
    """Validation examples on which the brief's metric is watched; 0 turns the watch off."""
    watch_limit: NotNegative = 0.1
    """By how much the metric may get worse than the parent's there while the reward is up."""
    ablation: bool = True
    """Whether the same training is done once more with the doubted preferences, to show what they would have done."""
    gguf: Literal["q8_0", "f16", "bf16", "f32"] = "q8_0"
    """How the weights that llama.cpp serves are written."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Numbers to compute in; auto is bfloat16 where the machine multiplies it natively."""
    processes: Whole = 0
    """How many train together; 0 is one a GPU."""
