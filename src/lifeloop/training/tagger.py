"""Trains a tagger: an encoder with a head and a chain over the tags of words, judged by entity F1 on validation.

Takes examples whose references list entities; writes the encoder, the head, what validation decided, and the record of
the training. Entities that cannot be found in their text are left out and counted in the record.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.core.training_record import TrainingRecord
from lifeloop.models.encoder import TUNED, open_encoder
from lifeloop.models.tagger import Decisions, Settings, save_tagger
from lifeloop.models.tagger_bio import encode, repaired, tag_names
from lifeloop.models.tagger_reading import Reading, read
from lifeloop.models.tagger_scores import word_scores
from lifeloop.models.tagger_words import Split
from lifeloop.training.encoder_checkpoint import Place
from lifeloop.training.encoder_loop import batches
from lifeloop.training.record import save_record
from lifeloop.training.tagger_choosing import best_bias, temperature
from lifeloop.training.tagger_examples import Tagged, names_of, split_of, tagged, varied, widened
from lifeloop.training.tagger_loop import Labelled, Work, fit
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    from lifeloop.models.tagger_network import Network


class TaggerTrainer:
    """Trainer of kind "tagger"."""

    settings = None
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the tuned encoder, the head, and the record."""
        settings: Settings = materials.settings
        texts = [text for text in map(tagged, materials.train) if text.text.strip()]
        types = sorted({kind for text in texts for kind, _, _ in text.entities})
        if not types:
            raise ModelError(
                "no training text has an entity that can be found in it",
                where="data.reference",
                fix="give each entity its text as it is written, or its start and end in characters",
            )
        split: Split = split_of(texts) if settings.words == "auto" else settings.words
        encoder = open_encoder(settings.model, settings.max_tokens, "candidates.model")
        import torch

        from lifeloop.models.tagger_network import Design, Network

        torch.manual_seed(materials.seed)
        design = Design(
            tag_names(types), settings.crf, settings.characters, settings.shapes, settings.context, settings.dropout
        )
        network = Network(encoder.body, design).to(encoder.device)
        _freeze(encoder.body, settings.frozen_layers)
        source = _Source(texts, materials, split, encoder.tokeniser, design.tags, encoder.max_tokens)
        examiner = _Examiner(materials, network, encoder.tokeniser, split, encoder.max_tokens)
        state = fit(network, _work(materials, source, examiner, progress))
        decisions = examiner.decided(tuple(types), split)
        network.eval()
        encoder.save(folder / TUNED)
        save_tagger(folder, network, decisions)
        save_record(
            folder, _record(materials, state, [*_lost(texts, source, split, encoder), *state.events], decisions)
        )
        return Decided(score=state.best_score)


def _freeze(body: Any, layers: int) -> None:
    """Leave the word vectors, and the lowest layers, as they are."""
    for parameter in body.get_input_embeddings().parameters():
        parameter.requires_grad = False
    lowest = getattr(getattr(body, "encoder", None), "layer", [])[:layers]
    for parameter in (weight for layer in lowest for weight in layer.parameters()):
        parameter.requires_grad = False


def _work(materials: Materials, source: "_Source", examiner: "_Examiner", progress: Progress) -> Work:
    return Work(
        tokeniser=source.tokeniser,
        batches=source.batches,
        n_batches=source.n_batches,
        validate=examiner.score,
        settings=materials.settings,
        seed=materials.seed,
        scratch=materials.scratch,
        watch=materials.watch,
        progress=progress,
    )


class _Source:
    """Gives a pass its batches: texts shuffled, varied and read anew each time."""

    def __init__(
        self,
        texts: Sequence[Tagged],
        materials: Materials,
        split: Split,
        tokeniser: Any,
        tags: Sequence[str],
        max_tokens: int,
    ) -> None:
        self.tokeniser = tokeniser
        self._texts = texts
        self._names = names_of(texts)
        self._settings: Settings = materials.settings
        self._seed = materials.seed
        self._split = split
        self._place = {tag: place for place, tag in enumerate(tags)}
        self._max_tokens = max_tokens

    @property
    def n_batches(self) -> int:
        """Number of batches of a pass."""
        return -(-len(self._texts) // self._settings.batch)

    def batches(self, epoch: int) -> list[list[Labelled]]:
        """Return the batches of a pass, each of texts of similar length."""
        settings, chance = self._settings, np.random.default_rng([self._seed, epoch])
        texts = [varied(text, self._names, settings.swapped, settings.lowered, chance) for text in self._texts]
        readings = read([text.text for text in texts], self.tokeniser, self._split, self._max_tokens)
        labelled = [label(text, reading, self._place)[0] for text, reading in zip(texts, readings, strict=True)]
        lengths = [sum(row.n_tokens for row, _ in rows) for rows in labelled]
        found = batches(lengths, settings.batch, (self._seed, epoch))
        return [[row for place in batch for row in labelled[place]] for batch in found]

    def n_untaggable(self, readings: Sequence[Reading]) -> int:
        """Return how many entities of the texts, as they are, no tags can hold."""
        return sum(label(text, reading, self._place)[1] for text, reading in zip(self._texts, readings, strict=True))


def label(text: Tagged, reading: Reading, place: dict[str, int]) -> tuple[list[Labelled], int]:
    """Return each row of a text with the places of its tags, and how many entities tags cannot hold."""
    tags, lost = encode(reading.words, text.entities)
    rows = []
    for window, row in zip(reading.windows, reading.rows, strict=True):
        own = repaired(tags[window.first : window.end])  # a window may begin inside an entity
        rows.append((row, [place[tag] for tag in own]))
    return rows, lost


class _Examiner:
    """Asks validation, which it reads once."""

    def __init__(self, materials: Materials, network: "Network", tokeniser: Any, split: Split, max_tokens: int) -> None:
        self._examples = [example for example in materials.validation if example.input.strip()]
        self._network = network
        self._tokeniser = tokeniser
        self._readings = read([example.input for example in self._examples], tokeniser, split, max_tokens)

    def _asked(self) -> tuple[list[Any], float, float]:
        scores = word_scores(self._network, self._tokeniser, self._readings)
        chain = self._network.chain_as_arrays()
        bias, f1 = best_bias(self._examples, self._readings, self._network.design.tags, scores, chain)
        return scores, bias, f1

    def score(self) -> float | None:
        """Return the F1 of the network as it stands, at its best bias; None where there is no validation."""
        return self._asked()[2] if self._examples else None

    def decided(self, types: tuple[str, ...], split: Split) -> Decisions:
        """Return the bias and the temperature of the network as it stands."""
        if not self._examples:
            return Decisions(types, split)
        scores, bias, _ = self._asked()
        decisions = Decisions(types, split, bias)
        place = {tag: number for number, tag in enumerate(self._network.design.tags)}
        kept, truth = [], []
        for example, reading, own in zip(self._examples, self._readings, scores, strict=True):
            tags, lost = encode(reading.words, tagged(example).entities)
            if not lost and all(tag in place for tag in tags):
                kept.append(own)
                truth.append([place[tag] for tag in tags])
        heat = temperature(kept, truth, self._network.chain_as_arrays(), decisions)
        return msgspec.structs.replace(decisions, temperature=heat)


def _lost(texts: Sequence[Tagged], source: _Source, split: Split, encoder: Any) -> list[str]:
    """Return sentences about the entities that training could not use as they are."""
    readings = read([text.text for text in texts], encoder.tokeniser, split, encoder.max_tokens)
    absent, untaggable = sum(text.lost for text in texts), source.n_untaggable(readings)
    inside = sum(widened(text, reading.words) for text, reading in zip(texts, readings, strict=True))
    found = []
    if absent:
        found.append(f"{absent} entities of the references are not in their text, and were left out")
    if untaggable:
        found.append(f"{untaggable} entities overlap others or have no word, and were left out")
    if inside:
        found.append(f"{inside} entities begin or end inside a word, and were learned with the whole of it")
    return found


def _record(materials: Materials, state: Place, events: Sequence[str], decisions: Decisions) -> TrainingRecord:
    settings: Settings = materials.settings
    chain = "a chain over tags" if settings.crf else "tags by themselves"
    chosen = {
        "words": decisions.split,
        "outside_bias": decisions.outside_bias,
        "temperature": round(decisions.temperature, 4),
    }
    return TrainingRecord(
        method=f"tagger ({chain})",
        seed=materials.seed,
        n_examples=len(materials.train),
        settings=msgspec.to_builtins(settings) | chosen,
        curve=tuple(state.curve),
        best_step=state.best_step,
        events=tuple(events),
    )


TRAINER = TaggerTrainer()
