"""Writes a causal language model of transformers as a GGUF file, which llama.cpp serves.

Takes models of the Llama and Qwen2 architectures (SmolLM2 is a Llama) with a byte-level BPE tokenizer. The layout is
llama.cpp's, the names of tensors and the quantisation are the `gguf` package's. Knows nothing of training.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lifeloop.core.errors import ModelError
from lifeloop.models import gguf_tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

QUANTISATIONS = ("q8_0", "f16", "bf16", "f32")
ARCHITECTURES = ("llama", "qwen2")
_BLOCK = 32
"""Weights that share a scale in q8_0: rows of another length are written as f16."""


def check_quantisation(name: str) -> None:
    """Raise ModelError where a quantisation is not known."""
    if name not in QUANTISATIONS:
        fix = f"write one of: {', '.join(QUANTISATIONS)}"
        raise ModelError(f"{name!r} is no quantisation", where="candidates.quantisation", fix=fix)


def obstacle(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return why a model cannot be written as GGUF, or ""."""
    config = model.config
    if config.model_type not in ARCHITECTURES:
        return f"its architecture is {config.model_type}; written are {' and '.join(ARCHITECTURES)}"
    rope = config.rope_parameters or {}
    if rope.get("rope_type", "default") != "default":
        return f"its positions are scaled ({rope['rope_type']})"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}, not silu"
    if getattr(config, "use_sliding_window", False):
        return "it attends to a sliding window"
    return gguf_tokenizer.obstacle(tokenizer, config.vocab_size)


def write_gguf(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", file: Path, quantisation: str = "q8_0"
) -> None:
    """Write model, tokenizer and chat template to `file`. Norms and biases are float32 whatever the quantisation.

    Raises ModelError where the model cannot be written so, and where the quantisation is not known.
    """
    check_quantisation(quantisation)
    if why := obstacle(model, tokenizer):
        fix = "its safetensors are kept: serve them with the kind transformers"
        raise ModelError(f"no GGUF can be written: {why}", fix=fix)
    from gguf import GGUFWriter

    writer = GGUFWriter(file, model.config.model_type)
    _add_hyperparameters(writer, model.config, quantisation)
    gguf_tokenizer.add_tokenizer(writer, tokenizer, model.config.vocab_size)
    _add_weights(writer, model, quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_hyperparameters(writer: "GGUFWriter", config: Any, quantisation: str) -> None:
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    types = {
        "q8_0": LlamaFileType.MOSTLY_Q8_0,
        "f16": LlamaFileType.MOSTLY_F16,
        "bf16": LlamaFileType.MOSTLY_BF16,
        "f32": LlamaFileType.ALL_F32,
    }
    writer.add_type("model")
    writer.add_file_type(types[quantisation])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(float((config.rope_parameters or {}).get("rope_theta", 10_000.0)))
    width = _head_width(config)
    writer.add_rope_dimension_count(width)
    if width * config.num_attention_heads != config.hidden_size:
        writer.add_key_length(width)
        writer.add_value_length(width)


def _head_width(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _add_weights(writer: "GGUFWriter", model: "PreTrainedModel", quantisation: str) -> None:
    from gguf import MODEL_ARCH, get_tensor_name_map

    config = model.config
    names = get_tensor_name_map(MODEL_ARCH[config.model_type.upper()], config.num_hidden_layers)
    for name, weights in model.state_dict().items():
        if name == "lm_head.weight" and _is_tied(model):
            continue  # llama.cpp takes the embeddings where there is no output layer
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise ModelError(f"no GGUF can be written: it has no name for {name}", fix="serve the safetensors")
        values = weights.detach().float().cpu().numpy()
        if heads := head_rows(name, config):
            halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
            values = halves.swapaxes(1, 2).reshape(values.shape)
        _add_tensor(writer, target, values, quantisation)


def _is_tied(model: "PreTrainedModel") -> bool:
    """Return whether the output layer is the embeddings, as its configuration says: they may have come apart since."""
    import torch

    embeddings, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return model.config.tie_word_embeddings and torch.equal(embeddings, output)


def head_rows(name: str, config: Any) -> int:
    """Return into how many heads the rows of a tensor fall whose order differs in GGUF; 0 where it is the same.

    To tell positions, transformers rotates row i of a head with row i + half of it. For Llama, llama.cpp rotates row 2i
    with row 2i + 1, so queries and keys have their rows in such pairs there.
    """
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    return heads.get(name.split(".")[-2], 0) if config.model_type == "llama" else 0


def _add_tensor(writer: "GGUFWriter", name: str, values: np.ndarray, quantisation: str) -> None:
    from gguf import GGMLQuantizationType, quants

    kind = GGMLQuantizationType[quantisation.upper()]
    if values.ndim < 2:
        kind = GGMLQuantizationType.F32
    elif kind is GGMLQuantizationType.Q8_0 and values.shape[-1] % _BLOCK:
        kind = GGMLQuantizationType.F16
    writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)
