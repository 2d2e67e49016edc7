"""Opens a language model for serving by torch: the weights on their device, with the adapter that training made.

Takes the setting, the candidate's folder and where to compute, gives a network and its tokenizer. Knows nothing of
prompts.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifeloop.core.errors import ModelError
from lifeloop.models.devices import device_named, dtype_named
from lifeloop.models.language_files import ADAPTER, open_language, require

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lifeloop.models.language_network import LanguageNetwork


def open_network(
    model: str, folder: Path | None, where: str, *, dtype: str = "auto", device: str = "auto"
) -> tuple["LanguageNetwork", "PreTrainedTokenizerBase"]:
    """Return the network and the tokenizer of a setting or of what training made. Raises ModelError."""
    require(where)
    from lifeloop.models.language_network import LanguageNetwork

    place = device_named(device, f"{where}.device")
    number = dtype_named(dtype, place, f"{where}.dtype")
    whole, tokenizer = open_language(model, folder, f"{where}.model", dtype=str(number).removeprefix("torch."))
    soft: Tensor | None = None
    if folder is not None and (folder / ADAPTER).is_dir():
        whole, soft = _adapted(whole, folder / ADAPTER, where)
    whole = whole.to(device=place, dtype=number).eval()
    for parameter in whole.parameters():
        parameter.requires_grad = False
    return LanguageNetwork(whole, soft.to(device=place, dtype=number) if soft is not None else None), tokenizer


def _adapted(model: "PreTrainedModel", adapter: Path, where: str) -> tuple["PreTrainedModel", "Tensor | None"]:
    """Return the model with LoRA merged in, or the model as it is with the vectors of a soft prompt."""
    try:
        from peft import PeftConfig, PeftModel, PeftType
    except ModuleNotFoundError:
        raise ModelError("peft is not installed", where=where, fix="pip install 'lifeloop[train]'") from None
    config = PeftConfig.from_pretrained(str(adapter))
    adapted: Any = PeftModel.from_pretrained(model, str(adapter), config=config)
    if config.peft_type == PeftType.PROMPT_TUNING:
        return adapted.get_base_model(), adapted.get_prompt(batch_size=1)[0].detach()
    if config.peft_type == PeftType.LORA:
        return adapted.merge_and_unload(), None
    what = f"an adapter of type {config.peft_type.value} cannot be served"
    raise ModelError(what, where=where, fix="use LoRA or prompt tuning")
