"""Tunes a candidate's sentence encoder on pairs of texts, alike or not by their labels, and fits its head anew.

For few labelled rows, some 8 to 64 a label, where fine-tuning has too little to go by: n texts make n squared pairs
(SetFit; Tunstall et al., 2022). The loss and the trainer are those of sentence-transformers.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.bounds import Count, NotNegative, Parts, Several, Share, UpToOne, Whole
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.core.training_record import TrainingRecord
from lifeloop.models.encoder import TUNED
from lifeloop.training.encoder_score import measured
from lifeloop.training.features import full_head, known
from lifeloop.training.finetune import encoder_of_parent, save_calibrated_head, validation_logits
from lifeloop.training.language.plan import Plan
from lifeloop.training.language.running import Ran, run
from lifeloop.training.record import save_record
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from lifeloop.models.transformers_encoder import SentenceEncoder

Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]
"""Places of the first texts and of the second, and 1 where their labels are the same, else 0."""

WATCHED = 500
"""Pairs of validation texts that the validation loss is measured on, at most."""
NEAREST = 20
"""A hard pair's second text is among so many texts of other labels."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """How many pairs, and how fast."""

    pairs: Several = 8
    """Pairs that each text is the first of: half of them with a text of its label, half with one of another."""
    hard: UpToOne = 0.5
    """Share of the unlike pairs whose second text is among the nearest to the first, as the parent sees it."""
    max_pairs: Several = 40_000
    """However many texts there are."""
    batch: Count = 32
    """Pairs a step."""
    learning_rate: NotNegative = 2e-5
    warmup: Share = 0.1
    """Share of the steps over which the learning rate rises."""
    validations: Count = 4
    """Looks at validation; the best one's weights are kept."""
    patience: Whole = 2
    """Stop after so many looks that were no better; 0 never stops early."""
    shares: Parts = (1.0, 0.75, 0.5, 0.25)
    """Of the way from the parent's weights to the tuned ones: the one that validation likes best is kept. `[1.0]` goes
    all the way."""
    max_tokens: Count = 128
    """Training texts are cut to this; serving keeps the parent's limit."""


class ContrastiveTrainer:
    """Adaptation "contrastive", of candidates of kind "encoder"."""

    settings = Settings
    parents = ("encoder",)
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the tuned encoder, its head and the record. Raises ModelError where no two texts share a label."""
        try:
            import sentence_transformers  # noqa: F401
        except ModuleNotFoundError as error:
            fix = "pip install 'lifeloop[train]'"
            raise ModelError(f"{error.name} is not installed", where="candidates.adapt", fix=fix) from None
        settings: Settings = materials.settings
        encoder = encoder_of_parent(materials, settings.max_tokens)
        examples, truth = known(materials.train, materials.labels)
        if len(truth) == len(set(truth)):
            fix = "label more rows, or keep the parent"
            raise ModelError("no two training examples share a label", where="candidates", fix=fix)
        texts = [example.input for example in examples]
        vectors = encoder.encode(texts, progress)
        pairs = draw_pairs(truth, vectors, settings, materials.seed)
        began = {name: weight.detach().clone() for name, weight in encoder.body.state_dict().items()}
        ran = _train(encoder, began, texts, pairs, truth, materials, progress)
        event = _part_of_the_way(encoder, began, texts, truth, materials)
        weights, bias = _fit_head(encoder, texts, truth, materials)
        logits = validation_logits(encoder, weights, bias, materials, progress)
        score = measured(materials, logits).score if len(logits) else None
        encoder.save(folder / TUNED)
        save_calibrated_head(folder, weights, bias, logits, materials)
        save_record(folder, _record(materials, ran, event, len(texts), len(pairs[0])))
        return Decided(score=score)


def draw_pairs(truth: NDArray[np.intp], vectors: NDArray[np.float32], settings: Settings, seed: int) -> Pairs:
    """Return pairs in random order: as many alike as not, each text as often the first as any other.

    A text that is alone with its label is first in unlike pairs only; where there is but one label, there are none.
    """
    chance = np.random.default_rng(seed)
    n, half = len(truth), settings.pairs // 2
    firsts: list[int] = []
    seconds: list[int] = []
    for place in range(n):
        alike = np.flatnonzero(truth == truth[place])
        alike, others = alike[alike != place], np.flatnonzero(truth != truth[place])
        if len(alike):
            seconds += chance.choice(alike, half).tolist()
            firsts += [place] * half
        if len(others):
            n_hard = int(np.floor(half * settings.hard + chance.random()))
            near = others[np.argsort(-(vectors[others] @ vectors[place]), kind="stable")[:NEAREST]]
            seconds += [*chance.choice(near, min(n_hard, half)), *chance.choice(others, max(0, half - n_hard))]
            firsts += [place] * half
    order = chance.permutation(len(firsts))[: settings.max_pairs]
    one, other = np.array(firsts, dtype=np.intp)[order], np.array(seconds, dtype=np.intp)[order]
    return one, other, (truth[one] == truth[other]).astype(np.float32)


def _train(
    encoder: "SentenceEncoder",
    began: "dict[str, torch.Tensor]",
    texts: list[str],
    pairs: Pairs,
    truth: NDArray[np.intp],
    materials: Materials,
    progress: Progress,
) -> Ran:
    """Tune the encoder's own weights, and leave in them those that validation liked best."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    class Trainer(SentenceTransformerTrainer):
        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """Write no model card, and draw no bar for one."""

    settings: Settings = materials.settings
    rows = Dataset.from_dict(_columns(texts, pairs))
    watched = _watched(encoder, materials)

    def build(plan: Plan) -> Any:
        encoder.body.load_state_dict(began)
        model = _as_sentence_transformer(encoder)
        steps = plan.steps(len(pairs[0]), 1)
        given = plan.arguments(steps, settings.validations if watched is not None else 0)
        del given["activation_checkpointing"]  # TRL's own
        arguments = SentenceTransformerTrainingArguments(
            **given, max_steps=steps, learning_rate=settings.learning_rate, warmup_steps=int(settings.warmup * steps)
        )
        loss = CoSENTLoss(model)
        return Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=watched, loss=loss)

    def score(trainer: Any, measures: Mapping[str, float]) -> float:
        encoder.body.eval()
        weights, bias = _fit_head(encoder, texts, truth, materials)
        return measured(materials, validation_logits(encoder, weights, bias, materials, None)).score

    ran = run(build, materials, progress, batch=settings.batch, score=score, patience=settings.patience)
    encoder.body.eval()
    return ran


def _part_of_the_way(
    encoder: "SentenceEncoder",
    began: "dict[str, torch.Tensor]",
    texts: list[str],
    truth: NDArray[np.intp],
    materials: Materials,
) -> str:
    """Give the encoder the weights between the parent's and the tuned ones where validation loses least.

    On few rows, tuning forgets some of what the encoder knew (Wortsman et al., 2022). Returns what was kept.
    """
    import torch

    ended = {name: weight.detach().clone() for name, weight in encoder.body.state_dict().items()}

    def put(share: float) -> None:
        between = {name: torch.lerp(began[name], weight, share) for name, weight in ended.items()}
        encoder.body.load_state_dict(between)

    losses: dict[float, float] = {}
    for share in materials.settings.shares if materials.validation else (1.0,):
        put(share)
        weights, bias = _fit_head(encoder, texts, truth, materials)
        logits = validation_logits(encoder, weights, bias, materials, None)
        losses[share] = measured(materials, logits).loss if len(logits) else 0.0
    kept = min(losses, key=lambda share: (losses[share], -share))
    put(kept)
    return f"kept {kept:.0%} of the way from the parent's weights to the tuned ones: validation loss {losses[kept]:.4f}"


def _columns(texts: list[str], pairs: Pairs) -> dict[str, list[Any]]:
    one, other, alike = pairs
    return {"one": [texts[k] for k in one], "other": [texts[k] for k in other], "score": alike.tolist()}


def _watched(encoder: "SentenceEncoder", materials: Materials) -> Any:
    """Return pairs of validation texts, or None where there are none."""
    from datasets import Dataset

    examples, truth = known(materials.validation, materials.labels)
    if not examples:
        return None
    texts = [example.input for example in examples]
    rule = msgspec.structs.replace(materials.settings, pairs=2, max_pairs=WATCHED)
    return Dataset.from_dict(_columns(texts, draw_pairs(truth, encoder.encode(texts), rule, materials.seed)))


def _as_sentence_transformer(encoder: "SentenceEncoder") -> "SentenceTransformer":
    """Return the encoder as sentence-transformers knows one: states, their mean, unit length."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    with tempfile.TemporaryDirectory(prefix="lifeloop-") as folder:
        encoder.save(Path(folder))
        body = Transformer(folder, max_seq_length=encoder.max_tokens)
        body.model = encoder.body  # the very weights, and no pooling layer that nobody trains
        modules = [body, Pooling(encoder.width, "mean"), Normalize()]
        return SentenceTransformer(modules=modules, device=str(encoder.device))


def _fit_head(
    encoder: "SentenceEncoder", texts: list[str], truth: NDArray[np.intp], materials: Materials
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a head over the encoder as it stands, regularised as the parent's was."""
    from sklearn.linear_model import LogisticRegression

    solver = LogisticRegression(C=(materials.parent_settings or {}).get("c", 10.0), max_iter=300, tol=1e-5)
    solver.fit(encoder.encode(texts), [materials.labels[place] for place in truth])
    return full_head(solver, materials.labels)


def _record(materials: Materials, ran: Ran, event: str, n_texts: int, n_pairs: int) -> TrainingRecord:
    return TrainingRecord(
        method=f"contrastive ({n_pairs} pairs)",
        seed=materials.seed,
        n_examples=n_texts,
        settings=msgspec.to_builtins(materials.settings),
        curve=ran.curve,
        best_step=ran.best_step,
        events=(*ran.events, event),
    )


TRAINER = ContrastiveTrainer()
