"""A small language model of the use case's own, trained from nothing with a tokenizer of its own.

Training is `training.scratch`; it serves as the kind "transformers" does, and its `model.gguf` can be served by
"llamacpp". For what no published model was trained on, and as a measure of what pre-training is worth.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from lifeloop.core.bounds import Count, NotNegative, Positive, Share, Whole
from lifeloop.core.candidates import Candidate, Estimate, Machine
from lifeloop.core.data import Profile
from lifeloop.models.model import Model
from lifeloop.models.transformers_lm import estimated, load_language

Vocabulary = Annotated[int, Meta(ge=300)]
"""There must be room for the 256 bytes and a few words."""
Width = Annotated[int, Meta(ge=32, multiple_of=32)]
Context = Annotated[int, Meta(ge=64)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """How large it is, how it is trained, how it answers."""

    corpus: str | tuple[str, ...] = ()
    """Files of raw texts, or patterns that name them, relative to the project. Without any: the training inputs."""
    vocabulary: Vocabulary = 4096
    """Tokens at most; 300 at least."""
    layers: Count = 6
    width: Width = 256
    """A multiple of 32, and of twice `heads`."""
    heads: Count = 4
    context: Context = 512
    """Tokens of prompt and output together, and of a row in training; 64 at least."""
    epochs: Positive = 3.0
    minutes: NotNegative = 0.0
    """Stop training after so long, wherever it is; 0 sets no bound."""
    batch: Count = 16
    """Rows to a training step, and requests that are read at a time."""
    learning_rate: NotNegative = 1e-3
    warmup: Share = 0.05
    weight_decay: NotNegative = 0.1
    evaluations: Whole = 4
    patience: Whole = 0
    """Validations without a better loss after which training stops; 0 never does."""
    gguf: Literal["q8_0", "f16", "bf16", "f32"] = "q8_0"
    prompt: str = ""
    """Folder under prompts/; without one, the task's own instructions serve."""
    max_words: Count = 200
    """Longer inputs are cut to this many words."""
    cue: str = "Label:"
    """Beginning of the model's turn, before a label."""
    max_tokens: Whole = 0
    """Of an output; 0: as the task asks."""
    threads: Whole = 0
    """0: as torch chooses."""
    dtype: str = "auto"
    """Numbers that it answers in, as the kind "transformers" names them."""
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % (2 * self.heads):
            raise ValueError(f"`width` ({self.width}) is no multiple of twice `heads` ({self.heads})")


class ScratchKind:
    """Model kind "scratch"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "1"  # no `writes`: who writes for others does so before anything is trained, and this is nothing then

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the model in this process."""
        assert folder is not None, "the trainer of this kind always writes a folder"
        return load_language(candidate, folder)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the time to read an input, and to train on what the examples hold: six operations a token.

        A corpus of raw texts comes on top: `minutes` bounds it.
        """
        n = parameters(settings)
        answering = estimated(n, settings.max_words, profile, machine)
        tokens = profile.n_train * (profile.mean_tokens + 40) * settings.epochs
        training = 6 * n * tokens / (machine.gflops * 0.5 * 1e9)
        return Estimate(
            memory_gb=0.8 + 20 * n / 1e9,
            build_seconds=15.0 + (min(training, settings.minutes * 60) if settings.minutes else training),
            seconds_per_item=answering.seconds_per_item,
            basis=f"{n / 1e6:.0f}M parameters, {tokens:.0f} training tokens",
        )


def parameters(settings: Settings) -> int:
    """Return how many weights a model of these settings has."""
    layer = 4 * settings.width**2 + 3 * settings.width * inner_width(settings)
    return settings.vocabulary * settings.width + settings.layers * layer


def inner_width(settings: Settings) -> int:
    """Return the width inside a layer: eight thirds (Shazeer, 2020), in whole blocks of 32."""
    return max(32, round(settings.width * 8 / 3 / 32) * 32)


KIND = ScratchKind()
