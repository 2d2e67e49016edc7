"""Tagger: finds the entities of a text with an encoder that tags its words.

Takes the encoder, the head and the chain that `lifeloop.training.tagger` made, gives entities as JSON, each with its
place and a confidence. Texts longer than the encoder reads are read in overlapping windows.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from lifeloop.core.bounds import Count, NotNegative, Positive, Share, Whole
from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.core.errors import ModelError
from lifeloop.models.encoder import TUNED, open_encoder, seconds_per_item
from lifeloop.models.model import Model, whole
from lifeloop.models.tagger_bio import decode
from lifeloop.models.tagger_crf import Chain, Scores, best_tags, path_score, probability, sums
from lifeloop.models.tagger_reading import Reading, read
from lifeloop.models.tagger_scores import word_scores
from lifeloop.models.tagger_words import Split
from lifeloop.models.weights import find_safetensors

if TYPE_CHECKING:
    from lifeloop.models.tagger_network import Network

HEAD, DECISIONS = "tagger.safetensors", "tagger.json"
"""Beside the folder TUNED, which holds the encoder."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which encoder, what its head sees, and how it is trained."""

    model: str
    """Folder with model.safetensors (a tuned candidate's too), "package:NAME" or "hub:ORG/NAME"."""
    max_tokens: Count = 128
    """Tokens read at once; longer texts are read in overlapping windows."""
    words: Literal["auto", "spaces", "marks"] = "auto"
    """Where words end: at spaces, or at marks too. "auto": at spaces if the entities of training all end there."""
    crf: bool = True
    """Score each tag after the one before it, by a linear chain."""
    shapes: bool = True
    """Tell the encoder and the head of capitals, digits and marks."""
    characters: bool = True
    """Read the characters of each word as they are written."""
    context: Whole = 0
    """Width of a recurrent layer between words and tags, each way; 0 for none."""
    dropout: Share = 0.3
    """Share of what the head sees that each training step hides."""
    epochs: Count = 6
    batch: Count = 16
    """Texts a training step."""
    learning_rate: NotNegative = 1e-4
    head_learning_rate: NotNegative = 2e-3
    warmup: Share = 0.1
    """Share of the steps over which the learning rate rises."""
    weight_decay: NotNegative = 0.01
    frozen_layers: Whole = 0
    """Layers from the bottom that stay as they are; word vectors always do."""
    entity_weight: Positive = 1.0
    """How much dearer it is to miss a word of an entity than to see one where there is none."""
    patience: Whole = 2
    """Passes without a better validation F1 before training stops; 0 never stops it."""
    average: Share = 0.99
    """Decay of the moving average of the weights, which is what is kept; 0 keeps the last."""
    hidden: Share = 0.1
    """Share of the words that training hides from the encoder, so that it goes by what is around them."""
    swapped: Share = 0.2
    """Share of the entities that training replaces by another of their type."""
    lowered: Share = 0.05
    """Share of the texts that training lower-cases."""


class Decisions(Struct, frozen=True):
    """What training decided, beside the weights."""

    types: tuple[str, ...]
    split: Split
    outside_bias: float = 0.0
    """Taken from the score of "no entity", as was best on validation."""
    temperature: float = 1.0
    """What scores are divided by, to be as sure as they are right."""


class Tagger:
    """A network with its tokeniser and what it decodes by."""

    batch_size = 64
    concurrency = 1

    def __init__(self, network: "Network", tokeniser: Any, decisions: Decisions, max_tokens: int) -> None:
        self._network = network
        self._tokeniser = tokeniser
        self._decisions = decisions
        self._max_tokens = max_tokens
        self._chain = network.chain_as_arrays()

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the entities of each text as JSON, as sure as the whole list is likely to be right."""
        texts = [request.text for request in requests]
        readings = read(texts, self._tokeniser, self._decisions.split, self._max_tokens)
        raw = word_scores(self._network, self._tokeniser, readings)
        scores, chain = tempered(raw, self._chain, self._decisions)
        paths = best_tags(scores, chain)
        return [self._one(*found, chain) for found in zip(texts, readings, scores, paths, strict=True)]

    def _one(self, text: str, reading: Reading, scores: Scores, path: Sequence[int], chain: Chain) -> Answer:
        tokens = sum(row.n_tokens for row in reading.rows)
        if not reading.words:
            return Answer(output="[]", confidence=1.0)
        tags = self._network.design.tags
        known = sums(scores, chain)
        entities = []
        for found in decode([tags[place] for place in path]):
            start, end = reading.words[found.first][0], reading.words[found.end - 1][1]
            sure = round(probability(found, tags, scores, chain, known), 4)
            entities.append(
                {"type": found.type, "text": text[start:end], "start": start, "end": end, "confidence": sure}
            )
        sure = float(np.clip(np.exp(path_score(scores, chain, path) - known.total), 0.0, 1.0))
        return Answer(output=msgspec.json.encode(entities).decode(), confidence=sure, tokens_in=tokens)

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the JSON in one piece, then the answer."""
        return whole(self, request)

    def close(self) -> None:
        """Nothing to free but memory."""


def tempered(texts: Sequence[Scores], chain: Chain, decisions: Decisions) -> tuple[list[Scores], Chain]:
    """Return scores (n_words, n_tags) and chain as they are decoded: the bias taken off, the temperature divided by."""
    heat, bias = decisions.temperature, np.zeros(len(chain.start))
    bias[0] = decisions.outside_bias  # the place of "no entity" among the tags
    linked = Chain(chain.start / heat, chain.after / heat, chain.stop / heat)
    return [(scores - bias) / heat for scores in texts], linked


def save_tagger(folder: Path, network: "Network", decisions: Decisions) -> None:
    """Write the head and what training decided; the encoder is saved beside it by its own `save`."""
    from safetensors.torch import save_file

    from lifeloop.models.tagger_network import head_of

    save_file({name: weight.contiguous().cpu() for name, weight in head_of(network).items()}, folder / HEAD)
    kept = {"design": network.design, "decisions": decisions}
    (folder / DECISIONS).write_bytes(msgspec.json.format(msgspec.json.encode(kept)))


def load_tagger(folder: Path, settings: Settings, where: str) -> Tagger:
    """Return the tagger that lies in a folder. Raises ModelError where it does not fit together."""
    encoder = open_encoder(settings.model, settings.max_tokens, where, folder / TUNED)
    from safetensors.torch import load_file

    from lifeloop.models.tagger_network import Design, Network

    kept = msgspec.json.decode((folder / DECISIONS).read_bytes())
    network = Network(encoder.body, msgspec.convert(kept["design"], Design))
    wrong = network.load_state_dict(load_file(folder / HEAD), strict=False)
    missing = [name for name in wrong.missing_keys if not name.startswith("body.")]
    if missing or wrong.unexpected_keys:
        what = f"the tagger's weights are not those of its design: {', '.join([*missing, *wrong.unexpected_keys])}"
        raise ModelError(what, where=where, fix="make the candidate again")
    network.to(encoder.device).eval()
    decisions = msgspec.convert(kept["decisions"], Decisions)
    return Tagger(network, encoder.tokeniser, decisions, encoder.max_tokens)


class TaggerKind:
    """Model kind "tagger"."""

    settings = Settings
    tasks = ("extract",)
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the tuned encoder with its head."""
        assert folder is not None, "the trainer of this kind always writes a folder"
        settings = msgspec.convert(candidate.settings, Settings)
        return load_tagger(folder, settings, f"candidates.{candidate.name}.model")

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the time of the encoder over the inputs, three times as long with gradients, and torch's memory."""
        try:
            size = (find_safetensors(settings.model, "") / "model.safetensors").stat().st_size
        except ModelError:
            size = 90_000_000
        # Windows do not cut what is read, so that every token of a long text counts.
        seconds = seconds_per_item(size / 4, 1_000_000, profile, machine)
        passes = 3 * profile.n_train * settings.epochs + profile.n_validation * settings.epochs
        return Estimate(
            memory_gb=0.6 + 5 * size / 1e9,
            build_seconds=10.0 + 2 * passes * seconds,
            seconds_per_item=seconds + 0.006,
            basis=f"{size / 4e6:.0f}M parameters, {profile.mean_tokens:.0f} tokens an item, {settings.epochs} passes",
        )


KIND = TaggerKind()
