"""The files of a language model that training made: a folder for torch, and the same as GGUF for llama.cpp.

Opens what a setting or a candidate's folder names as a transformers model with its tokenizer, and writes both forms.
Weights are safetensors or GGUF and nothing else. Knows nothing of prompts or of training.
"""

import contextlib
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifeloop.core.errors import ModelError
from lifeloop.models.devices import device_named, dtype_named
from lifeloop.models.weights import find_language

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LANGUAGE = "language"
"""Folder of config.json, model.safetensors and the tokenizer with its chat template."""
GGUF = "model.gguf"
"""The same model, for llama.cpp."""
ADAPTER = "adapter"
"""Folder of a PEFT adapter (a soft prompt, or LoRA that was not merged), over `language/` or the setting's model."""


def open_language(
    model: str, tuned: Path | None, where: str, *, dtype: str = "auto"
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Return a causal language model in evaluation mode, on the CPU, with its tokenizer, for the caller alone.

    Opens `tuned/language` where it is there, else what the setting `model` names: a GGUF file, whose weights are
    dequantised, or a folder with safetensors. `dtype` "auto" is bfloat16 where the device that torch would choose
    multiplies it natively, else float32; training that keeps its weights in float32 asks for "float32". An adapter is
    left to the caller. Raises ModelError.
    """
    require(where)
    number = dtype_named(dtype, device_named("auto", where), where)
    place = tuned / LANGUAGE if tuned is not None and (tuned / LANGUAGE).is_dir() else find_language(model, where)
    try:
        opened = _from_gguf(place, number) if place.is_file() else _from_folder(place, number)
    except (OSError, ValueError, KeyError, NotImplementedError, struct.error) as error:
        what = f"transformers cannot load the language model in {place.name}: {error}"
        raise ModelError(what, where=where, fix="name a causal language model, as GGUF or safetensors") from error
    if not opened[1].chat_template:
        what = f"the model in {place.name} has no chat template"
        raise ModelError(what, where=where, fix="name a model that was tuned for instructions")
    return opened


def open_tokenizer(model: str, tuned: Path | None, where: str) -> "PreTrainedTokenizerBase":
    """Return the tokenizer that `open_language` returns, without the weights. Raises ModelError."""
    require(where)
    place = tuned / LANGUAGE if tuned is not None and (tuned / LANGUAGE).is_dir() else find_language(model, where)
    return _gguf_tokenizer(place) if place.is_file() else _folder_tokenizer(place)


def save_language(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path, quantisation: str = "q8_0"
) -> None:
    """Write `language/` with the weights as they are, and `model.gguf` with those as `quantisation` has them.

    There is no `model.gguf` where llama.cpp cannot be given the model (see `gguf_writing.obstacle`): such a candidate
    is served by the kind "transformers". Raises ModelError for a quantisation that is not known.
    """
    from lifeloop.models import gguf_writing

    gguf_writing.check_quantisation(quantisation)
    model.save_pretrained(folder / LANGUAGE)
    tokenizer.save_pretrained(folder / LANGUAGE)
    if not gguf_writing.obstacle(model, tokenizer):
        gguf_writing.write_gguf(model, tokenizer, folder / GGUF, quantisation)


def carry_language(parent: Path | None, folder: Path) -> None:
    """Put the language model that training made of a parent into its child's folder, where only the asking changes."""
    for name in (LANGUAGE, GGUF, ADAPTER):
        made = parent / name if parent is not None else None
        if made is not None and made.is_dir():
            shutil.copytree(made, folder / name, copy_function=_link)
        elif made is not None and made.exists():
            _link(made, folder / name)


def _link(source: Path | str, target: Path | str) -> None:
    """Give a file a second name, which costs no space, or copy it where that crosses file systems."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def require(where: str) -> None:
    """Raise ModelError where a library that opens language models is missing."""
    # Threads that wait for each other by spinning take twice the time on a machine that is a little busy. Read by the
    # library once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import accelerate  # noqa: F401 - transformers wants it to read GGUF
        import gguf  # noqa: F401
        import torch  # noqa: F401
        import transformers
    except ModuleNotFoundError as error:
        raise ModelError(f"{error.name} is not installed", where=where, fix="pip install 'lifeloop[train]'") from None
    transformers.utils.logging.disable_progress_bar()


def _from_folder(place: Path, number: "torch.dtype") -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(place, dtype=number, use_safetensors=True, local_files_only=True)
    return model.eval(), _folder_tokenizer(place)


def _from_gguf(file: Path, number: "torch.dtype") -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    from transformers import AutoModelForCausalLM

    from lifeloop.models.gguf_reading import read_gguf

    if (known := read_gguf(file, number)) is not None:
        return known[0].eval(), _with_padding(known[1])
    with _no_bars():
        read = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=number, local_files_only=True
        )
    return _without_its_past(read, number).eval(), _gguf_tokenizer(file)


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Keep the bar that transformers draws while it reads a GGUF file, whatever it was told, off the terminal."""
    from functools import partial

    from transformers import modeling_gguf_pytorch_utils as reading

    drawn = reading.tqdm
    reading.tqdm = partial(drawn, disable=True)
    try:
        yield
    finally:
        reading.tqdm = drawn


def _without_its_past(read: "PreTrainedModel", number: "torch.dtype") -> "PreTrainedModel":
    """Return a model of the same weights that may be saved: transformers refuses where they came from a GGUF file."""
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    table: dict[str, Any] = read.config.to_dict()
    for key in ("quantization_config", "_name_or_path"):
        table.pop(key, None)
    config = type(read.config).from_dict(table)
    with no_init_weights():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=number)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = read.generation_config
    return model


def _folder_tokenizer(place: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(place, local_files_only=True)
    return _with_padding(tokenizer)


def _gguf_tokenizer(file: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    from lifeloop.models.gguf_reading import read_tokenizer

    tokenizer = read_tokenizer(file)
    if tokenizer is None:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    return _with_padding(tokenizer)


def _with_padding(tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
