"""What replies look like on the wire; these types are encoded as they stand and are what the OpenAPI page describes."""

from typing import Any, Literal

import msgspec
from msgspec import Struct


class Usage(Struct, frozen=True):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ReplyMessage(Struct, frozen=True):
    """What a candidate said in a conversation."""

    content: str | None
    role: Literal["assistant"] = "assistant"
    refusal: str | None = None


class ChatChoice(Struct, frozen=True):
    """One answer of a candidate."""

    message: ReplyMessage
    finish_reason: str
    index: int = 0
    logprobs: None = None


class ChatReply(Struct, frozen=True):
    """A chat completion. `choices` may be an endpoint's own: several answers, tool calls, log probabilities."""

    id: str
    created: int
    model: str
    choices: list[ChatChoice] | msgspec.Raw
    usage: Usage
    object: Literal["chat.completion"] = "chat.completion"


class TextChoice(Struct, frozen=True):
    """The answer to one prompt."""

    text: str
    finish_reason: str | None
    index: int
    event: str
    """The id of its event, for feedback."""
    logprobs: None = None


class TextReply(Struct, frozen=True):
    """A text completion."""

    id: str
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage
    object: Literal["text_completion"] = "text_completion"


class Embedding(Struct, frozen=True):
    """The vector of one text, as numbers or as the base64 of little-endian 32-bit floats."""

    index: int
    embedding: list[float] | str
    object: Literal["embedding"] = "embedding"


class EmbeddingsUsage(Struct, frozen=True):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(Struct, frozen=True):
    """One vector a text, in order."""

    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage
    object: Literal["list"] = "list"


class ModelReply(Struct, frozen=True):
    """A name that requests may give as `model`."""

    id: str
    created: int
    object: Literal["model"] = "model"
    owned_by: str = "lifeloop"


class ModelsReply(Struct, frozen=True):
    """All such names."""

    data: list[ModelReply]
    object: Literal["list"] = "list"


class NoAnswer(Struct, frozen=True):
    """Why one of several texts has no answer."""

    message: str
    code: str = "no_answer"


class TaskAnswer(Struct, frozen=True, omit_defaults=True):
    """The task's own answer: one of the first three, by task; or `error`."""

    event: str
    label: str | msgspec.UnsetType = msgspec.UNSET
    entities: Any = msgspec.UNSET
    output: str | msgspec.UnsetType = msgspec.UNSET
    confidence: float | msgspec.UnsetType | None = msgspec.UNSET
    candidate: str | msgspec.UnsetType = msgspec.UNSET
    release: str | msgspec.UnsetType = msgspec.UNSET
    error: NoAnswer | msgspec.UnsetType = msgspec.UNSET


class TaskAnswers(Struct, frozen=True):
    """One answer a text, in order."""

    answers: list[TaskAnswer]


class FeedbackReply(Struct, frozen=True):
    """Feedback that was taken."""

    id: str
    event: str


class ErrorDetail(Struct, frozen=True):
    """What is wrong, in OpenAI's format."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(Struct, frozen=True):
    """An error."""

    error: ErrorDetail
