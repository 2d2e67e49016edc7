"""Byte-level BPE tokenizers between transformers and GGUF, so that llama.cpp and torch read a text as the same tokens.

GGUF names the rule by which a text falls into words before merging (its pre-tokenizer); transformers holds the rule
itself. Here is which name stands for which rule. Knows nothing of weights.
"""

import json
from collections.abc import Mapping
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

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # gguf.TokenType
_NORMALISED = {"qwen2"}  # their NFC is left out by llama.cpp: texts in other forms may read otherwise there


def tokenizer_from(fields: Mapping[str, Any]) -> "PreTrainedTokenizerBase | None":
    """Return the tokenizer that the fields of a GGUF file describe; None where it is not one of those known here."""
    rule = RULES.get(fields.get("tokenizer.ggml.pre", ""))
    tokens, merges = fields.get("tokenizer.ggml.tokens"), fields.get("tokenizer.ggml.merges")
    if rule is None or not tokens or not merges or fields.get("tokenizer.ggml.add_bos_token", False):
        return None
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerFast

    kinds = fields.get("tokenizer.ggml.token_type") or [_NORMAL] * len(tokens)
    used = {token: number for number, token in enumerate(tokens) if kinds[number] != _UNUSED}
    model = {"type": "BPE", "vocab": used, "merges": [pair.split(" ") for pair in merges]}
    table = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": rule,
        "post_processor": None,
        "decoder": {**_BYTES, "add_prefix_space": True},
        "model": model | {"ignore_merges": fields["tokenizer.ggml.pre"] == "llama-bpe"},
    }
    backend = Tokenizer.from_str(json.dumps(table))
    marked = [(token, number) for token, number in used.items() if kinds[number] in (_CONTROL, _USER_DEFINED)]
    backend.add_tokens(
        [AddedToken(token, special=kinds[number] == _CONTROL, normalized=False) for token, number in marked]
    )
    named = {
        key: tokens[fields[f"tokenizer.ggml.{field}_token_id"]]
        for key, field in (
            ("bos_token", "bos"),
            ("eos_token", "eos"),
            ("unk_token", "unknown"),
            ("pad_token", "padding"),
        )
        if f"tokenizer.ggml.{field}_token_id" in fields
    }
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(tokenizer_object=backend, **named)
    tokenizer.chat_template = fields.get("tokenizer.chat_template")
    return tokenizer


def obstacle(tokenizer: "PreTrainedTokenizerBase", size: int) -> str:
    """Return why a tokenizer cannot be written to the GGUF file of a model with `size` embeddings, or ""."""
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
    if max(tokenizer.get_vocab().values()) >= size:
        return f"its tokenizer has {len(tokenizer)} tokens, the model {size} embeddings"
    return ""


def add_tokenizer(writer: "GGUFWriter", tokenizer: "PreTrainedTokenizerBase", size: int) -> None:
    """Write the tokenizer's fields to a GGUF file of a model with `size` embeddings. Raises ModelError."""
    if why := obstacle(tokenizer, size):
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
        tokens[number] = token
        kinds[number] = _NORMAL
        if number in added:
            kinds[number] = _CONTROL if added[number].special else _USER_DEFINED
    return tokens, kinds
