"""Language models of two random layers, made on the spot: real libraries, small sizes."""

from pathlib import Path
from typing import Any

from lifeloop.models.language_files import save_language
from lifeloop.models.scratch import Settings
from lifeloop.training.scratch import network_of, tokenizer_of

TEXTS = (
    "the parcel has not arrived and I want my money back",
    "can you tell me when the shop opens on 24 December 2026?",
    "thank you, that's all I wanted to know; you've been very kind",
    "Straße, café, naïve — ½ litre for 3,50 €",
)


def tiny(*, sharp: float = 8.0, **config: Any) -> tuple[Any, Any]:
    """Return a Llama and its tokenizer. `sharp` scales the weights, so that its next tokens differ in probability."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    tokenizer = tokenizer_of([*TEXTS] * 3, 400)
    set_seed(0)
    model = network_of(Settings(layers=2, width=64, heads=4, context=256), tokenizer)
    if config:
        model = LlamaForCausalLM(LlamaConfig(**(model.config.to_dict() | config)))
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights *= sharp
    return model.eval(), tokenizer


def tiny_folder(folder: Path, quantisation: str = "f32", **config: Any) -> Path:
    """Return a candidate's folder with a tiny model in both forms."""
    model, tokenizer = tiny(**config)
    folder.mkdir(parents=True, exist_ok=True)
    save_language(model, tokenizer, folder, quantisation)
    return folder
