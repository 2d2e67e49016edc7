"""Reads GGUF files of the architectures that `gguf_writing` writes as models of transformers, within two seconds.

transformers reads them too, and any other, but goes through the whole file once for the configuration, the weights and
the tokenizer each, in Python: ten seconds for SmolLM2. Takes a file, gives a model and a tokenizer, or None where the
file has something that is not known here.
"""

import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from lifeloop.models.gguf_tokenizer import tokenizer_from
from lifeloop.models.gguf_writing import ARCHITECTURES, head_rows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_UNKNOWN = ("rope.scaling.type", "rope.scaling.factor", "expert_count", "attention.sliding_window")


class Stored(Struct, frozen=True):
    """Where a tensor lies."""

    shape: tuple[int, ...]
    """Rows first, as torch has it."""
    kind: int
    """Of gguf.GGMLQuantizationType."""
    offset: int


class Header(Struct, frozen=True):
    """What a GGUF file says before its weights."""

    fields: dict[str, Any]
    tensors: dict[str, Stored]


def read_gguf(file: Path, number: "torch.dtype") -> "tuple[PreTrainedModel, PreTrainedTokenizerBase] | None":
    """Return the model in numbers of a type, with its tokenizer; None where only transformers may know how."""
    header = read_header(file)
    tokenizer = _tokenizer(header)
    if tokenizer is None:
        return None
    config = _config(header, tokenizer)
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        model = _model(config, header, data, number)
    return None if model is None else (model, tokenizer)


def read_tokenizer(file: Path) -> "PreTrainedTokenizerBase | None":
    """Return the tokenizer alone, or None."""
    return _tokenizer(read_header(file))


def read_header(file: Path) -> Header:
    """Return the fields of a GGUF file and the places of its tensors. Raises ValueError where it is none."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        walk = _Walk(data)
        if data[:4] != b"GGUF" or walk.number("I", at=4) not in (2, 3):
            raise ValueError("not a GGUF file of version 2 or 3")
        n_tensors, n_fields = walk.number("Q"), walk.number("Q")
        fields = {}
        for _ in range(n_fields):
            key = walk.text()
            fields[key] = walk.value(walk.number("I"))
        found = {}
        for _ in range(n_tensors):
            name = walk.text()
            shape = tuple(walk.number("Q") for _ in range(walk.number("I")))[::-1]
            found[name] = Stored(shape, walk.number("I"), walk.number("Q"))
        block = fields.get("general.alignment", 32)
        begin = -(-walk.place // block) * block
    tensors = {name: Stored(one.shape, one.kind, one.offset + begin) for name, one in found.items()}
    return Header(fields, tensors)


class _Walk:
    """Goes through the bytes of a header."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.place = 0

    def number(self, code: str, at: int | None = None) -> Any:
        start = self.place if at is None else at
        self.place = start + struct.calcsize(f"<{code}")
        return struct.unpack_from(f"<{code}", self._data, start)[0]

    def text(self) -> str:
        length = self.number("Q")
        self.place += length
        return self._data[self.place - length : self.place].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.number(_NUMBERS[kind])
        inner, length = self.number("I"), self.number("Q")
        if inner in (_STRING, _ARRAY):
            return [self.value(inner) for _ in range(length)]
        code = f"<{length}{_NUMBERS[inner]}"
        values = struct.unpack_from(code, self._data, self.place)
        self.place += struct.calcsize(code)
        return list(values)


def _tokenizer(header: Header) -> "PreTrainedTokenizerBase | None":
    fields = header.fields
    name = fields.get("general.architecture")
    strange = any(f"{name}.{key}" in fields for key in _UNKNOWN) or "rope_freqs.weight" in header.tensors
    return None if name not in ARCHITECTURES or strange else tokenizer_from(fields)


def _config(header: Header, tokenizer: "PreTrainedTokenizerBase") -> Any:
    from transformers import AutoConfig

    fields = header.fields
    name = fields["general.architecture"]
    heads, width = fields[f"{name}.attention.head_count"], fields[f"{name}.embedding_length"]
    biases = {"attention_bias": "blk.0.attn_q.bias", "mlp_bias": "blk.0.ffn_gate.bias"} if name == "llama" else {}
    return AutoConfig.for_model(
        name,
        vocab_size=header.tensors["token_embd.weight"].shape[0],
        hidden_size=width,
        intermediate_size=fields[f"{name}.feed_forward_length"],
        num_hidden_layers=fields[f"{name}.block_count"],
        num_attention_heads=heads,
        num_key_value_heads=fields.get(f"{name}.attention.head_count_kv", heads),
        head_dim=fields.get(f"{name}.attention.key_length", width // heads),
        max_position_embeddings=fields[f"{name}.context_length"],
        rms_norm_eps=fields[f"{name}.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": fields.get(f"{name}.rope.freq_base", 10_000.0)},
        tie_word_embeddings="output.weight" not in header.tensors,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{key: tensor in header.tensors for key, tensor in biases.items()},
    )


def _model(config: Any, header: Header, data: mmap.mmap, number: "torch.dtype") -> "PreTrainedModel | None":
    """Return the model with its weights; None where a tensor has no place in it, or a place no tensor."""
    import torch
    from gguf import MODEL_ARCH, get_tensor_name_map
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    with no_init_weights():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=number)
    names = get_tensor_name_map(MODEL_ARCH[config.model_type.upper()], config.num_hidden_layers)
    wanted = [name for name in model.state_dict() if name != "lm_head.weight" or not config.tie_word_embeddings]
    places = {name: names.get_name(name, try_suffixes=(".weight", ".bias")) or name for name in wanted}
    if set(places.values()) != header.tensors.keys():
        return None
    weights = {}
    for name, place in places.items():
        values = _values(header.tensors[place], data)
        heads = head_rows(name, config)
        if heads:  # back from rows in pairs, see gguf_writing
            pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
            values = pairs.swapaxes(1, 2).reshape(values.shape)
        weights[name] = torch.from_numpy(np.ascontiguousarray(values)).to(number)
    model.load_state_dict(weights, strict=False)
    model.tie_weights()
    return model


def _values(stored: Stored, data: mmap.mmap) -> np.ndarray:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

    kind = GGMLQuantizationType(stored.kind)
    in_block, n_bytes = GGML_QUANT_SIZES[kind]
    count = int(np.prod(stored.shape)) // in_block * n_bytes
    raw = np.frombuffer(data[stored.offset : stored.offset + count], dtype=np.uint8)
    rows = raw.reshape(*stored.shape[:-1], stored.shape[-1] // in_block * n_bytes)
    if kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
        return rows.view(np.float32 if kind is GGMLQuantizationType.F32 else np.float16).astype(np.float32)
    return quants.dequantize(rows, kind)
