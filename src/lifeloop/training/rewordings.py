"""User templates to try instead of the one there is: a fixed set of ways to put a task to a language model, some filled
with what the training examples say of the labels.

Takes the task's contract and training examples, gives templates that all hold the input. Asks no model.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median

from lifeloop.core.candidates import Contract
from lifeloop.core.data import Example

WORDS_A_LABEL = 6
MOST_LABELS_DESCRIBED = 60
"""With more labels, words for each make the prompt too long to be read at a fair price."""
_WORD = re.compile(r"[^\W\d_]{3,}")

Rewording = tuple[str, str]
"""What it does in a few words, and the template."""


def rewordings(task: str, contract: Contract, train: Sequence[Example], user: str) -> list[Rewording]:
    """Return templates to try, the likeliest to help first. The one there is, `user`, is not among them."""
    if contract.choices:
        found = _for_labels(contract, train)
    elif task == "extract":
        found = _for_entities()
    else:
        found = _for_texts(train)
    return [(about, template) for about, template in found if template.strip() != user.strip()]


def _for_labels(contract: Contract, train: Sequence[Example]) -> list[Rewording]:
    choice = "{{ labels | join(', ') }}"
    listed = "{% for label in labels %}- {{ label }}\n{% endfor %}"
    described = _described(contract.choices, train)
    hints = [("words typical of each label", f"{described}\nText: {{{{ text }}}}\n\nWhich label fits best?")]
    return [
        ("the rule after the text", "{{ text }}\n\n{{ instructions }}"),
        *(hints if described else []),
        ("a question with the choice", f"Text: {{{{ text }}}}\n\nWhich of these fits best: {choice}?"),
        ("the choice as a list", f"Choose the label that fits the text.\n{listed}\nText: {{{{ text }}}}"),
        ("the text alone", "{{ text }}"),
        (
            "what it is mainly about",
            f"Read the whole text and decide what it is mainly about, not what it mentions in passing.\n\n"
            f"Text: {{{{ text }}}}\n\nLabel, one of {choice}:",
        ),
        (
            "the text between marks",
            f"The text stands between the marks.\n<<<\n{{{{ text }}}}\n>>>\nIts label ({choice}):",
        ),
        ("a form", "Text: {{ text }}\nTask: choose the label.\nRule: {{ instructions }}"),
        (
            "rule out, then choose",
            f"Rule out the labels that do not fit, then answer with the one that is left: {choice}.\n\n"
            f"Text: {{{{ text }}}}",
        ),
        ("what the writer wants", f"Text: {{{{ text }}}}\n\nWhat does its writer want? Answer with one of: {choice}."),
    ]


def _described(labels: Sequence[str], train: Sequence[Example]) -> str:
    """Return a line a label with the words that are typical of it, or "" where there are too many labels.

    Labels are named by their place, so that none is ever read as part of the template.
    """
    if len(labels) > MOST_LABELS_DESCRIBED:
        return ""
    words = typical_words(train)
    lines = [
        f"- {{{{ labels[{place}] }}}}: {', '.join(words[label])}\n"
        for place, label in enumerate(labels)
        if words[label]
    ]
    return "Labels, with words that are typical of each:\n" + "".join(lines) if lines else ""


def typical_words(train: Sequence[Example], n: int = WORDS_A_LABEL) -> defaultdict[str, list[str]]:
    """Return the words that set each reference's texts apart: log-odds of a word in a text of its own against all
    others, with half a text added to each count; words of a single text say nothing.
    """
    inside: defaultdict[str, Counter[str]] = defaultdict(Counter)
    sizes: Counter[str] = Counter()
    everywhere: Counter[str] = Counter()
    for example in train:
        words = set(_WORD.findall(example.input.casefold()))
        inside[example.reference].update(words)
        everywhere.update(words)
        sizes[example.reference] += 1
    result: defaultdict[str, list[str]] = defaultdict(list)
    for reference, counts in inside.items():
        rest = len(train) - sizes[reference]
        odds = {
            word: _log_odds(count, sizes[reference], everywhere[word], rest)
            for word, count in counts.items()
            if count > 1
        }
        telling = [word for word in odds if odds[word] > 0.0]
        result[reference] = sorted(telling, key=lambda word: (-odds[word], word))[:n]
    return result


def _log_odds(own: int, n_own: int, everywhere: int, n_rest: int) -> float:
    a, b = own + 0.5, everywhere - own + 0.5
    return math.log(a / (n_own - own + 0.5)) - math.log(b / (n_rest - (everywhere - own) + 0.5))


def _for_entities() -> list[Rewording]:
    return [
        ("the rule after the text", "{{ text }}\n\n{{ instructions }}"),
        ("the rule before the text", "{{ instructions }}\n\nText: {{ text }}"),
        (
            "word for word",
            "Text: {{ text }}\n\nList every entity exactly as it is written in the text, each once. {{ instructions }}",
        ),
        ("nothing but JSON", "Text: {{ text }}\n\n{{ instructions }} Write the JSON list and nothing else."),
        (
            "sentence by sentence",
            "Go through the text sentence by sentence and miss no entity.\n\nText: {{ text }}\n\n{{ instructions }}",
        ),
        ("the text between marks", "The text stands between the marks.\n<<<\n{{ text }}\n>>>\n{{ instructions }}"),
        ("the text alone", "{{ text }}"),
    ]


def _for_texts(train: Sequence[Example]) -> list[Rewording]:
    words = round(median(len(example.reference.split()) for example in train)) if train else 20
    about = "one word" if words <= 1 else f"about {words} words"
    return [
        ("as long as the examples", f"{{{{ text }}}}\n\nAnswer in {about}."),
        ("the answer alone", "{{ text }}\n\nGive the answer alone: no introduction, no explanation."),
        ("the rule after the text", "{{ text }}\n\n{{ instructions }}"),
        ("a question and an answer", "Question: {{ text }}\nAnswer:"),
        ("step by step, then briefly", f"{{{{ text }}}}\n\nThink it through, then answer in {about}."),
        ("plain words", "{{ text }}\n\nAnswer in plain words, in the language of the question."),
        ("the text between marks", "The request stands between the marks.\n<<<\n{{ text }}\n>>>\n{{ instructions }}"),
        ("the text alone", "{{ text }}"),
    ]
