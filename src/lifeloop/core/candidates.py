"""Prompts, candidates, and what passes between a candidate and whoever asks it."""

from typing import Any

from msgspec import Struct

from lifeloop.core.content import Id


class Prompt(Struct, frozen=True):
    """A versioned pair of templates: the system one carries behaviour and security rules, the user one evolves."""

    name: str
    system: str
    user: str


class Candidate(Struct, frozen=True):
    """Everything needed to answer. Immutable: a change makes a new one, with the old as parent."""

    name: str
    """Its name in the brief."""
    kind: str
    """The model kind that loads it."""
    task: str
    labels: tuple[str, ...]
    settings: dict[str, Any]
    """The kind's settings, complete with defaults."""
    files: Id = ""
    """Vault id of the folder that training made; "" where nothing was made."""
    prompt: Prompt | None = None
    parent: Id = ""
    """The candidate it was adapted from."""
    members: tuple[Id, ...] = ()
    """The candidates it is composed of."""
    dataset: Id = ""
    """The dataset it was made from."""
    preferences: Id = ""
    """The Preferences it was aligned by."""


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation."""

    role: str
    content: str
    extra: str = ""
    """JSON object of what else an OpenAI message holds (`tool_calls`, `tool_call_id`, `name`, a `content` that is no
    mere text), for candidates that pass it on; "" for nothing."""


class Request(Struct, frozen=True):
    """What a candidate is asked: a text, or for chat the messages so far."""

    text: str
    messages: tuple[Message, ...] = ()
    max_tokens: int = 0
    """Upper bound of the answer's length in tokens; 0 leaves it to the candidate's settings."""
    columns: dict[str, str] = {}
    """What else is known of the request, by column of data.slices, for candidates that read more than the text."""
    options: dict[str, Any] = {}
    """What its sender asks of an OpenAI-compatible model besides (`tools`, `response_format`, `stop`, `n`, …), for
    candidates that pass it on (`models.model.PassesOn`)."""

    def __hash__(self) -> int:
        return hash(
            (self.text, self.messages, self.max_tokens)
        )  # the dicts, which have no hash, only tell equals apart


class Answer(Struct, frozen=True):
    """What a candidate said."""

    output: str
    """A label, a text, or for extract the JSON of the entities."""
    confidence: float | None = None
    """Probability that the candidate itself gives its output, in [0, 1]."""
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    """Money paid to a remote endpoint for this answer."""
    error: str = ""
    """Why there is no output, or "" where there is one."""
    by: str = ""
    """Which member of a composed candidate answered."""
    finish: str = ""
    """Why it ended, in OpenAI's words ("stop", "length", "tool_calls"), where the model says so."""
    choices: str = ""
    """JSON list of the endpoint's own choices, where the request had options or messages with `extra`."""


class Choices(Struct, frozen=True):
    """What a chunk of a stream adds that is no mere text: the endpoint's own choices (tool calls, several answers)."""

    raw: str
    """JSON list."""
    text: str = ""
    """The text that its first choice adds."""


class Contract(Struct, frozen=True):
    """What a task asks of an output, for candidates that can be held to it while decoding."""

    instructions: str
    """The rule in words, for prompts."""
    choices: tuple[str, ...] = ()
    """The only outputs allowed, or empty."""
    schema: dict[str, Any] | None = None
    """The JSON schema that the output must satisfy, or None."""
    max_tokens: int = 128


class Machine(Struct, frozen=True):
    """What calibration measured on this machine."""

    cores: int
    memory_gb: float
    gflops: float
    """Billions of single-precision operations a second of a matrix product on all cores."""


class Estimate(Struct, frozen=True):
    """What a candidate will need, before anything is spent."""

    memory_gb: float
    build_seconds: float
    """Training, once."""
    seconds_per_item: float
    """Answering, one at a time."""
    usd_per_item: float = 0.0
    basis: str = ""
    """What the numbers rest on, in a few words."""


class Recipe(Struct, frozen=True):
    """What a candidate is to be made from, fixed before it is made."""

    name: str
    task: str
    labels: tuple[str, ...]
    table: dict[str, Any]
    """Its section of the brief."""
    dataset: Id
    prompt: Prompt | None = None
    parent: Id = ""
    members: tuple[tuple[Id, Id], ...] = ()
    """Of each member: the candidate, and its trial on validation."""
    seed: int = 0
    out_of_scope: str = ""
    metric: str = ""
    """The brief's first objective, for what is adapted or composed towards it."""
    metrics: dict[str, dict[str, Any]] = {}
    """That metric's section, where the brief declares it, with the fingerprint of its files."""
    files: Id = ""
    """Fingerprint of the project's files that its settings name."""
    taught: Id = ""
    """The table of its teacher's answers to the training examples."""
    preferences: Id = ""
    """The Preferences it is aligned by."""
    corpus: Id = ""
    """The folder of raw texts that it is pre-trained on: JSONL with `text`."""
