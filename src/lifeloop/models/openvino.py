"""Model kind "openvino": the fast path on a CPU for merged language models, through openvino-genai in this process.

Reads the same prompts and scores labels the same way as the kinds "llamacpp" and "transformers", labels in batches;
other outputs are written, under a JSON schema where the task has one. Of GGUF, eight bits are read as they are; four
bits with a minimum (Q4_1, Q4_K) are rounded once more, after which one label in five was another.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.bounds import Count, Whole
from lifeloop.core.candidates import Answer, Candidate, Contract, Estimate, Machine, Message, Request
from lifeloop.core.data import Profile
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.models import openvino_opening, prompting, scoring, turn_tokens
from lifeloop.models.llamacpp import Learned, learned_in
from lifeloop.models.model import Model, whole
from lifeloop.models.openvino_opening import LONGEST, Tokens
from lifeloop.models.openvino_reading import Network
from lifeloop.models.openvino_writing import Pipeline


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model, which prompt, how it decodes."""

    model: str
    """Path of a GGUF file or of a folder exported for OpenVINO, "package:NAME" or "hub:ORG/NAME". What training made of
    it comes before it."""
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
    """0: one less than the machine's cores."""
    max_tokens: Whole = 0
    """0: as the task asks."""
    batch: Count = 8
    """Requests whose labels are scored at a time."""
    fast: bool = False
    """Rounds activations to eight bits: half as fast again, and confidences that move with what is read beside."""


class Asked(Struct, frozen=True):
    """A request as tokens: what all requests of the candidate begin with, and how this one goes on."""

    head: tuple[int, ...]
    rest: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.head) + len(self.rest)


class Asking:
    """From requests to tokens, under a candidate's prompt and shots."""

    def __init__(self, candidate: Candidate, learned: Learned, tokens: Tokens) -> None:
        self.settings = msgspec.convert(candidate.settings, Settings)
        self.contract: Contract = plugins.get("tasks", candidate.task).contract(candidate.labels)
        self.tokens = tokens
        self._prompt = candidate.prompt or prompting.PLAIN
        shown = self.settings.shot_words
        cue = f"{self.settings.cue} " if self.contract.choices else ""
        self._shots = [
            (prompting.cut(tokens.without_markers(text), shown), f"{cue}{tokens.without_markers(said)}")
            for text, said in learned.shots
        ]

    def asked(self, request: Request) -> Asked:
        """Return a request's tokens. Raises ModelError where they are too many, BriefError for a template at fault."""
        turns = prompting.messages(self._prompt, self.contract, self._shots, request, self.settings.max_words)
        earlier = [
            turn if turn.role == "system" else Message(turn.role, self.tokens.without_markers(turn.content))
            for turn in turns[:-1]
        ]
        cue = self.settings.cue if self.contract.choices else ""
        head, body, tail = turn_tokens.parts(self.tokens, self.tokens.template, [*earlier, turns[-1]], cue)
        return Asked(tuple(head), (*body, *tail))

    def room(self, asked: Asked, wanted: int) -> int:
        """Return how many of the wanted tokens may follow. Raises ModelError where none may."""
        room = min(self.settings.context, LONGEST) - asked.length
        if room < 1 or len(asked.rest) >= LONGEST:
            what = f"the request has {asked.length} tokens, more than the context of {self.settings.context}"
            raise ModelError(what, fix="shorten the input, or raise `context`")
        return min(wanted, room)


class OpenVinoLabels:
    """A loaded model that scores labels. One thread at a time; requests of like length are read together."""

    concurrency = 1

    def __init__(self, asking: Asking, learned: Learned, network: Network) -> None:
        self._asking, self._prior, self._network = asking, learned.prior, network
        self._choices = asking.contract.choices
        end = asking.tokens.end_of_turn()
        self._sequences = [(*asking.tokens(f" {label}"), *end) for label in self._choices]
        self.batch_size = asking.settings.batch
        self._lock = threading.Lock()

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return one answer a request, in order."""
        found: dict[int, Answer] = {}
        asked: dict[int, Asked] = {}
        with self._lock:
            for place, request in enumerate(requests):
                try:
                    one = self._asking.asked(request)
                    self._asking.room(one, 1)
                    asked[place] = one
                except LifeloopError as error:  # too long, or a prompt's template fails on this input alone
                    found[place] = Answer(output="", error=error.what)
            for places in self._batches(asked):
                batch = [asked[place] for place in places]
                found.update(zip(places, map(self._label, batch, self._score(batch)), strict=True))
        return [found[place] for place in range(len(requests))]

    def probabilities(self, request: Request) -> list[float]:
        """Return the uncalibrated probability of each label, in the order of the task's choices."""
        with self._lock:
            return self._score([self._asking.asked(request)])[0]

    def _batches(self, asked: dict[int, Asked]) -> Iterator[list[int]]:
        """Yield places of requests that begin alike, those of like length together."""
        order = sorted(asked, key=lambda place: (asked[place].head, len(asked[place].rest)))
        batch: list[int] = []
        for place in order:
            if batch and (len(batch) == self.batch_size or asked[place].head != asked[batch[0]].head):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _score(self, batch: Sequence[Asked]) -> list[list[float]]:
        reading = self._network.read(batch[0].head, [asked.rest for asked in batch])
        return scoring.label_probabilities_of(self._sequences, len(batch), reading.chances)

    def _label(self, asked: Asked, chances: list[float]) -> Answer:
        likely = scoring.calibrated(chances, self._prior) if self._prior else chances
        best = max(range(len(likely)), key=likely.__getitem__)
        return Answer(self._choices[best], confidence=likely[best], tokens_in=asked.length, tokens_out=1)

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the label, then the answer."""
        return whole(self, request)

    def close(self) -> None:
        """Nothing to free but memory."""


class OpenVinoWriter:
    """A loaded model that writes. As many threads as `slots` may ask at once; what comes together is batched."""

    batch_size = 1

    def __init__(self, asking: Asking, pipeline: Pipeline, slots: int) -> None:
        self._asking, self._pipeline = asking, pipeline
        self.concurrency = slots
        self._ends = list(dict.fromkeys([*asking.tokens.end_of_turn(), asking.tokens.end_of_text]))

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return answers, one after the other."""
        return [self._last(self.stream(request)) for request in requests]

    @staticmethod
    def _last(pieces: Iterator[str | Answer]) -> Answer:
        *_, answer = pieces
        assert isinstance(answer, Answer)
        return answer

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield text as it is written, then the answer. Closing the iterator stops the model within a token."""
        asking, written, sent, finish = self._asking, [], "", ""
        try:
            asked = asking.asked(request)
            wanted = request.max_tokens or asking.settings.max_tokens or asking.contract.max_tokens
            limit = asking.room(asked, wanted)
            for came in self._pipeline.write([*asked.head, *asked.rest], self._ends, limit, asking.contract.schema):
                if isinstance(came, str):
                    finish = came
                    break
                written += [token for token in came if token not in self._ends]
                text = asking.tokens.text(written)
                if text.startswith(sent) and text != sent and not text.endswith("\ufffd"):
                    yield text[len(sent) :]
                    sent = text
        except LifeloopError as error:
            yield Answer(output=sent, error=error.what)
            return
        text = asking.tokens.text(written)
        if rest := text[len(sent) :]:
            yield rest
        yield Answer(sent + rest, tokens_in=asked.length, tokens_out=len(written), finish=finish)

    def close(self) -> None:
        """Free the model."""
        self._pipeline.close()


class OpenVinoKind:
    """Model kind "openvino"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the model in this process, for one request at a time. Raises ModelError."""
        return self.load_to_serve(candidate, folder, members, 1)

    def load_to_serve(self, candidate: Candidate, folder: Path | None, members: Sequence[Model], slots: int) -> Model:
        """Return the model; what is written is worked on together for as many requests."""
        settings = msgspec.convert(candidate.settings, Settings)
        where = f"candidates.{candidate.name}.model"
        weights = openvino_opening.find_weights(settings.model, folder, where)
        threads = settings.threads or max(1, (os.cpu_count() or 2) - 1)
        learned = learned_in(folder)
        contract: Contract = plugins.get("tasks", candidate.task).contract(candidate.labels)
        if contract.choices:
            network, tokens = openvino_opening.open_network(weights, threads, where, fast=settings.fast)
            return OpenVinoLabels(Asking(candidate, learned, tokens), learned, Network(network))
        pipeline, tokens = openvino_opening.open_pipeline(
            weights, threads, where, context=settings.context, slots=slots, fast=settings.fast
        )
        return OpenVinoWriter(Asking(candidate, learned, tokens), Pipeline(pipeline), slots)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the weights' size and the time to read an input, at two operations a parameter and token."""
        try:
            place = openvino_opening.find_weights(settings.model, None, "")
            size = place.stat().st_size if place.is_file() else sum(f.stat().st_size for f in place.glob("*.bin"))
        except ModelError:
            size = 100_000_000
        parameters = size / 0.7
        tokens = min(profile.mean_chars / 6.0, settings.max_words) * 1.4 + 25
        share = max(1, machine.cores - 1) / machine.cores
        seconds = 2 * parameters * tokens / (machine.gflops * share * 0.7 * 1e9)
        return Estimate(
            memory_gb=0.5 + 3.5 * size / 1e9,
            build_seconds=8.0 + settings.calibrate * seconds,
            seconds_per_item=seconds + (0.0 if profile.n_labels else 2.0),
            basis=f"{parameters / 1e6:.0f}M parameters, {tokens:.0f} tokens an item",
        )


KIND = OpenVinoKind()
