"""Byte-level BPE tokenizers between transformers and GGUF, so that llama.cpp and torch read a text as the same tokens.

GGUF names the rule by which a text falls into words before merging (its pre-tokenizer); transformers holds the rule
itself, and does not restore it from a GGUF file. Here is which name stands for which rule. Knows nothing of weights.
"""

import json
import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifeloop.core.errors import ModelError

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PreTrainedTokenizerBase

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"


def _split(pattern: str) -> dict[str, Any]:
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [cut, {**_BYTES, "use_regex": False}]}


_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

RULES: dict[str, dict[str, Any]] = {
    "gpt-2": _BYTES,
    "smollm": {"type": "Sequence", "pretokenizers": [_DIGITS, _BYTES]},
    "qwen2": _split(rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}"),
    "llama-bpe": _split(rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"),
}
"""The name in llama.cpp to the rule as the `tokenizers` library writes it, most particular last."""

_STRING = 8  # gguf.GGUFValueType
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # gguf.TokenType
_NORMALISED = {"qwen2"}  # their NFC is left out by llama.cpp: texts in other forms may read otherwise there


def restore_pre_tokenizer(tokenizer: "PreTrainedTokenizerBase", file: Path) -> None:
    """Give a tokenizer that was read from a GGUF file the rule that the file names, where it is one of `RULES`."""
    from tokenizers import Tokenizer

    rule = RULES.get(_rule_named_in(file))
    if rule is None:
        return
    table = json.loads(tokenizer.backend_tokenizer.to_str())
    table["pre_tokenizer"] = rule
    tokenizer.backend_tokenizer.pre_tokenizer = Tokenizer.from_str(json.dumps(table)).pre_tokenizer


def _rule_named_in(file: Path) -> str:
    """Return the name of the rule in a GGUF file, or "": found by its key, as parsing all tokens takes seconds."""
    key = b"tokenizer.ggml.pre" + struct.pack("<I", _STRING)
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = data.find(key)
        if place < 0:
            return ""
        start = place + len(key)
        (length,) = struct.unpack("<Q", data[start : start + 8])
        return data[start + 8 : start + 8 + length].decode()


def obstacle(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return why a tokenizer cannot be written to a GGUF file, or ""."""
    if not hasattr(tokenizer, "backend_tokenizer"):
        return "its tokenizer is not one of the tokenizers library"
    table = json.loads(tokenizer.backend_tokenizer.to_str())
    if table["model"]["type"] != "BPE":
        return f"its tokenizer is {table['model']['type']}, not byte-level BPE"
    name = _rule_name(table)
    if not name:
        return f"its tokenizer splits words by a rule that is none of {', '.join(RULES)}"
    if table["normalizer"] and not (name in _NORMALISED and table["normalizer"]["type"] == "NFC"):
        return "its tokenizer changes texts before it reads them"
    return ""


def add_tokenizer(writer: "GGUFWriter", tokenizer: "PreTrainedTokenizerBase", size: int) -> None:
    """Write the tokenizer's fields to a GGUF file of a model with `size` embeddings. Raises ModelError."""
    if why := obstacle(tokenizer):
        raise ModelError(f"no GGUF can be written: {why}", fix="serve the safetensors with the kind transformers")
    table = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens, kinds = _tokens(tokenizer, size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_rule_name(table))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in table["model"]["merges"]])
    numbers = {
        writer.add_bos_token_id: tokenizer.bos_token_id,
        writer.add_eos_token_id: tokenizer.eos_token_id,
        writer.add_unk_token_id: tokenizer.unk_token_id,
        writer.add_pad_token_id: tokenizer.pad_token_id,
    }
    for add, number in numbers.items():
        if number is not None:
            add(number)
    first = tokenizer("a").input_ids[0]
    writer.add_add_bos_token(tokenizer.bos_token_id is not None and first == tokenizer.bos_token_id)
    writer.add_add_space_prefix(False)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _rule_name(table: dict[str, Any]) -> str:
    rule = _without_offsets(table["pre_tokenizer"])
    return next((name for name, known in RULES.items() if _without_offsets(known) == rule), "")


def _without_offsets(rule: Any) -> Any:
    """Return a rule without what only says where in the text a token was found."""
    if isinstance(rule, dict):
        return {key: _without_offsets(value) for key, value in rule.items() if key != "trim_offsets"}
    return [_without_offsets(part) for part in rule] if isinstance(rule, list) else rule


def _tokens(tokenizer: "PreTrainedTokenizerBase", size: int) -> tuple[list[str], list[int]]:
    """Return the token and its type for each of `size` numbers; numbers without a token are unused."""
    tokens = [f"[PAD{number}]" for number in range(size)]
    kinds = [_UNUSED] * size
    added = tokenizer.added_tokens_decoder
    for token, number in tokenizer.get_vocab().items():
        if number >= size:
            what = f"the tokenizer has {len(tokenizer)} tokens, the model {size} embeddings"
            raise ModelError(what, fix="resize the model's embeddings to the tokenizer")
        tokens[number] = token
        kinds[number] = _NORMAL
        if number in added:
            kinds[number] = _CONTROL if added[number].special else _USER_DEFINED
    return tokens, kinds
