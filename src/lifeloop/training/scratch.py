"""Trains a small Llama from nothing: its byte-level BPE tokenizer, then its weights, on raw texts and on the examples.

Takes the texts of `Materials.corpus`, or where there is none the inputs of the training examples, and the examples as
turns of a conversation. What comes of it can be the parent of any adaptation of language models.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifeloop import plugins
from lifeloop.core.progress import Progress
from lifeloop.models import prompting
from lifeloop.models.scratch import Settings, inner_width
from lifeloop.tasks.chat import request_for
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lifeloop.training.language.turns import Turn

BEGIN, END, NOTHING = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class ScratchTrainer:
    """Trainer of the kind "scratch"."""

    settings = None
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the model with its record."""
        settings: Settings = materials.settings
        from lifeloop.models.language_files import require, save_language
        from lifeloop.training.language.parent import record_of
        from lifeloop.training.language.pretrain import documents
        from lifeloop.training.language.supervised import Course, taught
        from lifeloop.training.record import save_record

        require("candidates")
        known, unseen = documents(materials)
        tokenizer = tokenizer_of(_words(known, materials), settings.vocabulary)
        course = Course(
            train=_rows(tokenizer, known, materials, of="train"),
            validation=_rows(tokenizer, unseen, materials, of="validation"),
            labels={},
            epochs=settings.epochs,
            batch=settings.batch,
            learning_rate=settings.learning_rate,
            warmup=settings.warmup,
            weight_decay=settings.weight_decay,
            packing=True,
            max_tokens=settings.context,
            evaluations=settings.evaluations,
            patience=settings.patience,
            minutes=settings.minutes,
        )
        ran = taught(lambda: (network_of(settings, tokenizer), tokenizer), course, materials, progress)
        ran.model.__dict__.pop("forward", None)  # the head that trainers put in its place
        save_language(ran.model.float(), tokenizer, folder, settings.gguf)
        n = sum(weights.numel() for weights in ran.model.parameters())
        method = f"scratch ({n / 1e6:.1f}M weights, {len(tokenizer)} tokens)"
        save_record(folder, record_of(ran, materials, method, len(known) + len(materials.train)))
        return Decided(score=ran.score)


def tokenizer_of(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerBase":
    """Return a byte-level BPE tokenizer that was trained on texts, with the markers and template of a conversation.

    Words are found as GPT-2 does, which llama.cpp knows as "gpt-2". No text is unknown to it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[NOTHING, BEGIN, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=BEGIN, eos_token=END, pad_token=NOTHING, unk_token=NOTHING
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def network_of(settings: Settings, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedModel":
    """Return a Llama of these settings with weights left to chance."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=inner_width(settings),
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def _words(texts: Sequence[str], materials: Materials) -> Iterable[str]:
    """Yield what the tokenizer learns from: the raw texts, and the examples as the turns that serving writes."""
    yield from texts
    contract = plugins.get("tasks", materials.task).contract(materials.labels)
    cue = f"{materials.settings.cue} " if contract.choices else ""
    for example in materials.train:
        request = request_for(materials.task, example.input)
        for turn in prompting.messages(
            materials.prompt or prompting.PLAIN, contract, (), request, materials.settings.max_words
        ):
            yield f"{turn.role}\n{turn.content}"
        yield f"assistant\n{cue}{example.reference}"


def _rows(tokenizer: Any, texts: Sequence[str], materials: Materials, *, of: str) -> "list[Turn]":
    """Return raw texts as rows of which every token is learned, and examples as turns."""
    from lifeloop.training.language.pretrain import pieces
    from lifeloop.training.language.turns import turn, wording

    settings: Settings = materials.settings
    table = {"cue": settings.cue, "max_words": settings.max_words}
    how = wording(tokenizer, materials.task, materials.labels, materials.prompt, table, settings.context)
    examples = materials.train if of == "train" else materials.validation
    return [*pieces(tokenizer, texts, settings.context), *(turn(how, example) for example in examples)]


TRAINER = ScratchTrainer()
