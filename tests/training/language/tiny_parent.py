"""A language model that is tuned in seconds, two random layers under a small tokenizer; and what it may learn."""

import random
from pathlib import Path

import msgspec

from lifeloop import plugins
from lifeloop.core.candidates import Candidate, Prompt, Request
from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.training.trainer import Decided, Materials

LABELS = ("card arrival", "card lost", "pay bill", "weather")
WORDS = {"card lost": "stolen", "card arrival": "post", "pay bill": "invoice", "weather": "umbrella"}
PROMPT = Prompt(name="short", system="Name the intent.", user="{{ text }}")


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def small_tokenizer():
    """Reads whole words of the examples as one token, and anything else byte by byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet)
    texts = [f"{PROMPT.system}\nuser\nassistant\nLabel: {one.reference}" for one in examples(64)]
    words.train_from_iterator([*texts, *(one.input for one in examples(64))], trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|im_end|>", pad_token="<|im_end|>")
    made.chat_template = CHATML
    return made


def write_parent(folder: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    from lifeloop.models.language_files import LANGUAGE

    tokenizer = small_tokenizer()
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder / LANGUAGE)
    tokenizer.save_pretrained(folder / LANGUAGE)
    return folder


def examples(n: int, seed: int = 0) -> tuple[Example, ...]:
    chance = random.Random(seed)
    found = []
    for number in range(n):
        label = LABELS[number % len(LABELS)]
        filler = " ".join(chance.choice(("please", "my", "the", "is", "now")) for _ in range(chance.randrange(1, 4)))
        text = f"{filler} {WORDS[label]}"
        found.append(Example(id=f"{seed}-{number}", input=text, reference=label, group=str(number)))
    return tuple(found)


def materials(parent: Path, settings, **changed) -> Materials:
    given = Materials(
        task="classify",
        labels=LABELS,
        settings=settings,
        train=examples(64),
        validation=examples(24, seed=1),
        prompt=PROMPT,
        parent=parent,
        parent_settings={"model": "", "shots": 3},
        parent_kind="transformers",
        members=(),
        seed=3,
    )
    return msgspec.structs.replace(given, **changed)


def adapt(name: str, given: Materials, folder: Path, progress=silent) -> Decided:
    folder.mkdir(exist_ok=True)
    return plugins.get("adaptations", name).build(given, folder, progress)


def served_accuracy(given: Materials, folder: Path) -> float:
    """Return how often the kind "transformers" names the right label, loaded as serving loads it."""
    settings = {"model": "", "dtype": "float32", "device": "cpu", "calibrate": 0}
    candidate = Candidate("child", "transformers", given.task, given.labels, settings, prompt=given.prompt)
    model = plugins.get("models", "transformers").load(candidate, folder, ())
    try:
        answers = model.answer([Request(text=example.input) for example in given.validation])
    finally:
        model.close()
    pairs = zip(answers, given.validation, strict=True)
    return sum(answer.output == example.reference for answer, example in pairs) / len(answers)
