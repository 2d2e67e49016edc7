"""What a candidate of kind "features" computes of a request, and what stands on top of that: its settings.

Knows nothing of how any of it is computed: see `feature_blocks`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0.0)]
Range = tuple[Annotated[int, Meta(ge=0, le=10)], Annotated[int, Meta(ge=0, le=10)]]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is computed of a request, what is kept of it, and which head reads it."""

    word_ngrams: Range = (1, 2)
    """From so many words to so many; (0, 0) leaves words out."""
    char_ngrams: Range = (2, 5)
    """Within words, with their edges; (0, 0) leaves characters out."""
    min_examples: Annotated[int, Meta(ge=1)] = 2
    """An n-gram must occur in this many training examples."""
    c: Positive = 0.5
    """Inverse strength of regularisation, for the linear heads."""
    statistics: bool = False
    """Length, words, digits, case, punctuation, links and the like."""
    lexicons: dict[str, tuple[str, ...] | str] = {}
    """Name to words and phrases, or to a file of the project with one a line: whether and how often they occur."""
    columns: tuple[str, ...] = ()
    """Columns of data.slices, which a request has to bring; what it does not bring is unknown."""
    encoder: str = ""
    """A sentence encoder whose vector joins in: a folder with model.safetensors, "package:NAME" or "hub:ORG/NAME"."""
    max_tokens: Annotated[int, Meta(ge=1)] = 256
    """Of a text that the encoder reads."""
    encoder_weight: Positive = 2.0
    """Length of the encoder's vector; that of all words together is 1, and so is that of all characters."""
    engineered: tuple[str, ...] = ()
    """Features of the project's own: "FILE.py:FUNCTION", or a name that a package declares under `lifeloop.features`.
    The function takes texts and gives rows of numbers."""
    select: Annotated[int, Meta(ge=0)] = 0
    """Keep so many n-grams, those that tell labels apart best; 0 keeps all."""
    select_by: Literal["chi2", "mutual_information", "l1"] = "chi2"
    """How that is told."""
    head: Literal["svm", "logistic", "boosting"] = "svm"
    """A linear support vector machine, logistic regression, or boosted trees, which want `select`."""
    trees: Annotated[int, Meta(ge=1)] = 100
    """Rounds of boosting; each grows a tree a label."""
    learning_rate: Positive = 0.1
    """Of boosting."""

    def __post_init__(self) -> None:
        for name in ("word_ngrams", "char_ngrams"):
            shortest, longest = getattr(self, name)
            if shortest > longest:
                raise ValueError(f"`{name}` runs from {shortest} to {longest}, and not upwards")
        counted = self.word_ngrams[1] or self.char_ngrams[1]
        if not (counted or self.statistics or self.lexicons or self.columns or self.encoder or self.engineered):
            raise ValueError("nothing is computed of a text: all features are left out")
