"""Answers of a causal language model that torch runs: labels are scored in batches, other outputs are written.

Reads the same tokens and scores labels the same way as the kind "llamacpp"; it cannot hold an output to a JSON schema,
which only the prompt or training asks for. Knows prompts and tokens; the arithmetic is in `language_network`.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.bounds import Count, Whole
from lifeloop.core.candidates import Answer, Candidate, Contract, Message, Request
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.models import prompting, scoring, turn_tokens
from lifeloop.models.llamacpp import Learned, learned_in
from lifeloop.models.model import Writing

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lifeloop.models.language_network import Drawing, LanguageNetwork, Reading


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model, which prompt, how it decodes, where it computes. What "llamacpp" has too means the same there."""

    model: str
    """A folder with safetensors or a GGUF file, "package:NAME" or "hub:ORG/NAME". What training made of it comes
    before it."""
    prompt: str = ""
    """Folder under prompts/; without one, the task's own instructions serve."""
    shots: Whole = 0
    """Training examples shown in the prompt, spread over the labels."""
    shot_words: Count = 40
    max_words: Count = 200
    """Longer inputs are cut to this many words."""
    cue: str = "Label:"
    """Beginning of the model's turn, before a label."""
    calibrate: Whole = 24
    """Unlabelled training inputs on which the model's liking for some labels is measured; 0 leaves it in."""
    context: Count = 4096
    """Tokens of prompt and output together; longer requests are refused."""
    threads: Whole = 0
    """0: as torch chooses."""
    max_tokens: Whole = 0
    """0: as the task asks."""
    dtype: str = "auto"
    """"float32", "bfloat16" or "float16"; "auto" is bfloat16 where the device multiplies it natively, else float32."""
    device: str = "auto"
    """"cpu" or "cuda"; "auto" is the GPU where there is one."""
    batch: Count = 16
    """Requests that are read at a time."""


class Asked(Struct, frozen=True):
    """A request as tokens: what all requests of the candidate begin with, and how this one goes on."""

    head: tuple[int, ...]
    rest: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.head) + len(self.rest)


class TransformersLM:
    """A loaded model under a candidate's prompt and shots."""

    concurrency = 1

    def __init__(
        self,
        candidate: Candidate,
        learned: Learned,
        network: "LanguageNetwork",
        tokenizer: "PreTrainedTokenizerBase",
        lock: threading.Lock,
    ) -> None:
        known = {field.name for field in msgspec.structs.fields(Settings)}
        table = {key: value for key, value in candidate.settings.items() if key in known}
        self._settings = msgspec.convert({"model": ""} | table, Settings)
        self.batch_size = self._settings.batch
        self._prompt = candidate.prompt or prompting.PLAIN
        self._contract: Contract = plugins.get("tasks", candidate.task).contract(candidate.labels)
        self._network, self._tokenizer, self._lock = network, tokenizer, lock
        self._tokens = turn_tokens.tokenise_with(tokenizer)
        self._template = turn_tokens.template_of(tokenizer)
        self._prior = learned.prior
        self._shots = [(self._harmless(text), self._harmless(said)) for text, said in learned.shots]
        end = turn_tokens.end_of_turn(self._tokens, self._template)
        self._ends = frozenset([*end, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])])
        self._sequences = [(*self._tokens(f" {label}"), *end) for label in self._contract.choices]

    def prompted(self, candidate: Candidate, folder: Path) -> "TransformersLM":
        """Return the same weights under another candidate's prompt and shots. Closing either frees both."""
        return TransformersLM(candidate, learned_in(folder), self._network, self._tokenizer, self._lock)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return one answer a request, in order. Requests of like length are read together."""
        with self._lock:
            found: dict[int, Answer] = {}
            asked: dict[int, Asked] = {}
            for place, request in enumerate(requests):
                try:
                    asked[place] = self._asked(request)
                except LifeloopError as error:  # too long, or a prompt's template fails on this input alone
                    found[place] = Answer(output="", error=error.what)
            for places in self._batches(asked):
                batch = [asked[place] for place in places]
                limits = [self._limit(requests[place], each) for place, each in zip(places, batch, strict=True)]
                said = self._labels(batch) if self._contract.choices else self._texts(batch, limits)
                found.update(zip(places, said, strict=True))
            return [found[place] for place in range(len(requests))]

    def probabilities(self, request: Request) -> list[float]:
        """Return the uncalibrated probability of each label, in the order of the task's choices."""
        with self._lock:
            return self._score([self._asked(request)])[0]

    def write(self, writings: Sequence[Writing]) -> list[Answer]:
        """Return texts of the model's own. A schema is not kept to. What a writing quotes cannot end its own turn."""
        from lifeloop.models.language_network import Drawing

        with self._lock:
            return [
                self._freely(writing.messages, writing.max_tokens, Drawing(writing.temperature, writing.seed))
                for writing in writings
            ]

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield text as it is written; a label comes whole. Closing the iterator stops the model within a token."""
        if self._contract.choices:
            (answer,) = self.answer([request])
            if not answer.error:
                yield answer.output
            yield answer
            return
        with self._lock:
            try:
                asked = self._asked(request)
            except LifeloopError as error:
                yield Answer(output="", error=error.what)
                return
            yield from self._pieces(asked, self._limit(request, asked))

    def close(self) -> None:
        """Nothing to free but memory."""

    def _asked(self, request: Request) -> Asked:
        cue = f"{self._settings.cue} " if self._contract.choices else ""
        shots = [
            (prompting.cut(text, self._settings.shot_words), f"{cue}{reference}") for text, reference in self._shots
        ]
        turns = prompting.messages(self._prompt, self._contract, shots, request, self._settings.max_words)
        return self._as_tokens(turns)

    def _as_tokens(self, turns: Sequence[Message]) -> Asked:
        """Return the tokens of messages whose last one is read apart. Raises ModelError where they are too many."""
        earlier = [
            turn if turn.role == "system" else Message(turn.role, self._harmless(turn.content)) for turn in turns[:-1]
        ]
        cue = self._settings.cue if self._contract.choices else ""
        head, body, tail = turn_tokens.parts(self._tokens, self._template, [*earlier, turns[-1]], cue)
        asked = Asked(tuple(head), (*body, *tail))
        longest = max(map(len, self._sequences), default=1)
        room = self._settings.context - self._network.n_soft - longest
        if asked.length > room:
            what = f"the request has {asked.length} tokens, and there is room for {max(0, room)}"
            raise ModelError(what, fix="shorten the input, or raise `context`")
        return asked

    def _harmless(self, text: str) -> str:
        return turn_tokens.without_markers(text, self._tokens, lambda token: str(self._tokenizer.decode([token])))

    def _limit(self, request: Request, asked: Asked) -> int:
        wanted = request.max_tokens or self._settings.max_tokens or self._contract.max_tokens
        return self._room(asked, wanted)

    def _room(self, asked: Asked, wanted: int) -> int:
        return min(wanted, self._settings.context - self._network.n_soft - asked.length)

    def _batches(self, asked: dict[int, Asked]) -> Iterator[list[int]]:
        """Yield places of requests that begin alike, those of like length together."""
        order = sorted(asked, key=lambda place: (asked[place].head, len(asked[place].rest)))
        batch: list[int] = []
        for place in order:
            if batch and (len(batch) == self._settings.batch or asked[place].head != asked[batch[0]].head):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _read(self, batch: Sequence[Asked]) -> "Reading":
        return self._network.read(batch[0].head, [asked.rest for asked in batch])

    def _labels(self, batch: Sequence[Asked]) -> list[Answer]:
        answers = []
        for chances, asked in zip(self._score(batch), batch, strict=True):
            likely = scoring.calibrated(chances, self._prior) if self._prior else chances
            best = max(range(len(likely)), key=likely.__getitem__)
            output = self._contract.choices[best]
            answers.append(Answer(output, confidence=likely[best], tokens_in=asked.length, tokens_out=1))
        return answers

    def _score(self, batch: Sequence[Asked]) -> list[list[float]]:
        reading = self._read(batch)
        return scoring.label_probabilities_of(self._sequences, len(batch), reading.chances)

    def _texts(self, batch: Sequence[Asked], limits: Sequence[int]) -> list[Answer]:
        from lifeloop.models.language_network import Drawing

        written: list[list[int]] = [[] for _ in batch]
        for step in self._read(batch).write([Drawing()] * len(batch), self._ends, limits):
            for place, token in enumerate(step):
                if token >= 0:
                    written[place].append(token)
        return [self._written(asked, tokens) for asked, tokens in zip(batch, written, strict=True)]

    def _freely(self, turns: Sequence[Message], max_tokens: int, how: "Drawing") -> Answer:
        try:
            asked = self._as_tokens(turns)
        except LifeloopError as error:
            return Answer(output="", error=error.what)
        steps = self._read([asked]).write([how], self._ends, [self._room(asked, max_tokens)])
        return self._written(asked, [token for (token,) in steps])

    def _written(self, asked: Asked, tokens: list[int]) -> Answer:
        return Answer(output=self._text(tokens), tokens_in=asked.length, tokens_out=len(tokens))

    def _pieces(self, asked: Asked, limit: int) -> Iterator[str | Answer]:
        from lifeloop.models.language_network import Drawing

        tokens: list[int] = []
        sent = ""
        for (token,) in self._read([asked]).write([Drawing()], self._ends, [limit]):
            tokens.append(token)
            text = self._text(tokens)
            if text.endswith("\ufffd") or not text.startswith(sent) or text == sent:  # in the middle of a character
                continue
            yield text[len(sent) :]
            sent = text
        answer = self._written(asked, tokens)
        if rest := answer.output[len(sent) :]:
            yield rest
        yield answer

    def _text(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))
