"""A training of the real libraries that takes seconds: a Llama of two layers learns to repeat a token."""

import random
from pathlib import Path

import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

from lifeloop.core.progress import silent
from lifeloop.training.language.plan import Plan
from lifeloop.training.language.running import Ran, run
from lifeloop.training.trainer import Materials

VOCABULARY = 64
EXAMPLES = 48
EPOCHS = 3


def tiny_llama(**changed) -> LlamaForCausalLM:
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
    }
    return LlamaForCausalLM(LlamaConfig(**(shape | changed)))


def rows(n: int, seed: int = 0) -> Dataset:
    chance = random.Random(seed)
    ids = [[chance.randrange(2, VOCABULARY)] * chance.randrange(3, 9) for _ in range(n)]
    return Dataset.from_dict({"input_ids": ids, "labels": [[-100, *row[1:]] for row in ids]})


class Padding:
    """Collates without asking a tokenizer."""

    def __call__(self, examples):
        width = max(len(example["input_ids"]) for example in examples)
        padded = {
            "input_ids": [e["input_ids"] + [0] * (width - len(e["input_ids"])) for e in examples],
            "labels": [e["labels"] + [-100] * (width - len(e["labels"])) for e in examples],
            "attention_mask": [[1] * len(e["labels"]) + [0] * (width - len(e["labels"])) for e in examples],
        }
        return {name: torch.tensor(value) for name, value in padded.items()}


def materials(scratch: Path | None, watch=None) -> Materials:
    extra = {"watch": watch} if watch else {}
    return Materials(
        task="generate",
        labels=(),
        settings=None,
        train=(),
        validation=(),
        prompt=None,
        parent=None,
        parent_settings=None,
        members=(),
        seed=7,
        scratch=scratch,
        **extra,
    )


def build(plan: Plan, callbacks=(), dropout: float = 0.1) -> SFTTrainer:
    arguments = plan.arguments(plan.steps(EXAMPLES, EPOCHS), evaluations=4) | {"bf16": False}
    return SFTTrainer(
        model=tiny_llama(attention_dropout=dropout),
        args=SFTConfig(
            num_train_epochs=EPOCHS,
            learning_rate=2e-2,
            dataset_kwargs={"skip_prepare_dataset": True},
            **arguments,
        ),
        train_dataset=rows(EXAMPLES),
        eval_dataset=rows(16, seed=1),
        data_collator=Padding(),
        processing_class=_tokenizer(),
        callbacks=list(callbacks),
    )


def _tokenizer():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({str(number): number for number in range(VOCABULARY)}, unk_token="1"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="0", eos_token="1", unk_token="1")


def train(scratch: Path | None, callbacks=(), watch=None, batch: int = 4, dropout: float = 0.1, **rules) -> Ran:
    """With dropout, so that a resumed training must bring back the state of chance too."""
    return run(lambda plan: build(plan, callbacks, dropout), materials(scratch, watch), silent, batch=batch, **rules)


def weights(ran: Ran) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in ran.model.named_parameters()}


if __name__ == "__main__":  # a process of its own, for those who kill it: scratch, step to be killed at
    import os
    import signal
    import sys

    from transformers import TrainerCallback

    class Killed(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)

    train(Path(sys.argv[1]), [Killed()])
