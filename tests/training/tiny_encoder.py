"""A BERT of two small layers with random weights and a vocabulary of a few words, made on the spot: real libraries, a
second of training."""

from collections.abc import Sequence
from pathlib import Path

from lifeloop.core.data import Example
from lifeloop.training.trainer import Materials

WORDS = {
    "billing": ["refund", "invoice", "charge", "bill"],
    "delivery": ["parcel", "courier", "late", "box"],
    "greeting": ["hello", "morning", "evening", "hi"],
}
LABELS = tuple(sorted(WORDS))
FILLERS = ["please", "now", "my", "the", "a", "today", "again", "and"]


def make_encoder(folder: Path, seed: int = 0) -> Path:
    """Write the encoder's folder and return it."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLERS, *(word for each in WORDS.values() for word in each)]
    vocabulary = {word: place for place, word in enumerate(words)}
    tokeniser = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokeniser.normalizer = normalizers.Lowercase()
    tokeniser.pre_tokenizer = pre_tokenizers.Whitespace()
    tokeniser.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokeniser, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def texts(n: int, offset: int = 0, labels: Sequence[str] = LABELS) -> tuple[Example, ...]:
    """Return n examples of each label; those of another offset are other texts."""
    made = []
    for label in labels:
        for k in range(offset, offset + n):
            filler = [FILLERS[(k * 3 + step) % len(FILLERS)] for step in range(k % 4 + 1)]
            made.append(Example(f"{label}{k}", " ".join([*filler, WORDS[label][k % 4]]), label, ""))
    return tuple(made)


def materials(settings: object, **changes: object) -> Materials:
    """Return materials of 24 training and 12 validation examples a label."""
    import msgspec

    plain = Materials(
        task="classify",
        labels=LABELS,
        settings=settings,
        train=texts(24),
        validation=texts(12, offset=24),
        prompt=None,
        parent=None,
        parent_settings=None,
        members=(),
        seed=0,
    )
    return msgspec.structs.replace(plain, **changes)
