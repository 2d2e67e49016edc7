"""Parts of a gateway without a socket: models that are asked in the loop, a release of them, a client that reads."""

import asyncio

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Choices, Request
from lifeloop.core.errors import StoreError
from lifeloop.core.gateway_brief import Continuity as Settings
from lifeloop.core.gateway_brief import Gateway
from lifeloop.gateway.admission import Admission
from lifeloop.gateway.asking.answering import Asked, Withheld
from lifeloop.gateway.asking.client import LEFT, TOOK_NOTHING, WHEN_GONE
from lifeloop.gateway.asking.continuity import Continuity
from lifeloop.gateway.asking.deltas import merged
from lifeloop.gateway.asking.streaming import StreamedAnswer
from lifeloop.gateway.asking.worker import Worker
from lifeloop.gateway.serving import Parts, Serving
from lifeloop.models.model import Unanswered


class InLoop:
    """Says its pieces in the loop, after a while each; `script` holds failures that come first, one a call.

    `places` counts who is being answered: it must be 0 whenever nobody is.
    """

    batch_size = concurrency = 8
    passes_on = False

    def __init__(self, *pieces, seconds=0.0, script=(), breaks_at=-1, ending=True):
        self.pieces = pieces
        self.seconds = seconds
        self.script = list(script)
        self.breaks_at = breaks_at
        self.ending = ending
        self.places = self.calls = self.most = self.given = 0
        self.requests = []

    async def answer_in_loop(self, request, seconds):
        async with self._place(request):
            try:
                async with asyncio.timeout(seconds):
                    await self._next()
            except TimeoutError:
                raise Unanswered("timed out", f"after {seconds:g} s") from None
            return self._whole()

    async def stream_in_loop(self, request, seconds):
        async with self._place(request):
            for place, piece in enumerate(self.pieces):
                if place == self.breaks_at:
                    raise Unanswered("failed", "reset by peer")
                try:
                    async with asyncio.timeout(seconds):
                        await self._next()
                except TimeoutError:
                    raise Unanswered("timed out", f"silent for {seconds:g} s") from None
                self.given += 1
                yield piece
            if self.ending:
                yield self._whole()

    def _place(self, request):
        self.calls += 1
        self.requests.append(request)
        return _Place(self)

    async def _next(self):
        if self.script:
            failure = self.script.pop(0)
            if failure is not None:
                raise failure
        if self.seconds:
            await asyncio.sleep(self.seconds)

    def _whole(self):
        text = "".join(piece if isinstance(piece, str) else piece.text for piece in self.pieces)
        choices = "".join(piece.raw for piece in self.pieces if isinstance(piece, Choices))
        return Answer(output=text, tokens_in=5, tokens_out=len(self.pieces), usd=0.002, choices=choices)

    def answer(self, requests):
        raise AssertionError("asked in a thread")

    stream = answer

    def close(self):
        pass


class _Place:
    def __init__(self, model):
        self.model = model

    async def __aenter__(self):
        self.model.places += 1
        self.model.most = max(self.model.most, self.model.places)

    async def __aexit__(self, *_):
        self.model.places -= 1


class Member:
    """A loaded candidate as answering sees it."""

    def __init__(self, name, model, labels=()):
        self.id, self.name, self.labels = f"id-{name}", name, labels
        self.candidate = Candidate(name=name, kind="scene", task="chat", labels=labels, settings={})
        self.model = model
        self.batch_size = model.batch_size
        self.in_loop = hasattr(model, "answer_in_loop")
        self.passes_on = getattr(model, "passes_on", False)
        self.worker = None if self.in_loop else Worker(model, name)


class Live:
    def __init__(self, members, seconds):
        self.id, self.at, self.name, self.seconds, self.role = "release", 0.0, members[0].name, seconds, "production"
        self.members = tuple(members)
        self.users = 0


class Router:
    def __init__(self, live):
        self.live = live

    def take(self, user_key, event):
        self.live.users += 1
        return self.live

    def give_back(self, live):
        live.users -= 1


class Recorder:
    """Keeps events in memory; may be full."""

    def __init__(self):
        self.events, self.accepting, self.full = [], True, False

    def add_event(self, event):
        if self.full:
            raise StoreError("the disk is full")
        self.events.append(event)


class Filters:
    """Withholds what holds a word; a screen holds a text back until it cannot become that word any more."""

    def __init__(self, word=""):
        self.word = word

    def check_input(self, asked):
        pass

    def check_output(self, candidate, output, choices="", finish=""):
        return "it holds the word" if self.word and self.word in output + choices else ""

    def check_held(self, candidate, before, held, finish=""):
        texts = "".join(each for each in held if isinstance(each, str))
        return self.check_output(
            candidate, before + texts, merged(each.raw for each in held if isinstance(each, Choices))
        )

    def stream(self, candidate):
        return _Screen(self.word) if self.word else None


class _Screen:
    def __init__(self, word):
        self.word, self.kept = word, ""

    def feed(self, text):
        self.kept += text
        if self.word in self.kept:
            raise Withheld("it holds the word")
        out = max(0, len(self.kept) - len(self.word) + 1)
        said, self.kept = self.kept[:out], self.kept[out:]
        return said

    def end(self):
        return self.kept


class Limits:
    def __init__(self):
        self.spent = []

    def spend(self, key, tokens, usd):
        self.spent.append((key, tokens, usd))


class Shadows:
    def __init__(self):
        self.offered = []

    def offer(self, parts, asked, live, outcome):
        self.offered.append(asked.event)


def parts_of(*models, task="chat", seconds=5.0, filters=None, labels=(), **settings):
    """Give a gateway before a release of models, named a, b, c."""
    members = [Member("abcdef"[place], model, labels) for place, model in enumerate(models)]
    continuity = Settings(**settings)
    serving = Serving(
        project="desk",
        task=plugins.get("tasks", task),
        ledger=None,
        vault=None,
        clock=lambda: 1700000000.0,
        settings=Gateway(continuity=continuity),
    )
    return Parts(
        serving,
        Router(Live(members, seconds)),
        Recorder(),
        None,
        Limits(),
        filters or Filters(),
        Admission(serving.settings.load),
        Continuity(continuity),
        Shadows(),
    )


def asked(event="e", options=None, **kwargs):
    return Asked(event, 1700000000.0, "how are you", Request(text="how are you", options=options or {}), **kwargs)


def frame(piece, outcome):
    """A frame that shows what is what: texts as they are, choices in brackets, the end as a dot."""
    if piece is None:
        return b"."
    return piece.encode() if isinstance(piece, str) else f"[{piece.raw}]".encode()


class Reader:
    """A client of one stream: reads until the end, or leaves or takes nothing more after so many pieces."""

    def __init__(self, leaves_after=None, stalls_after=None):
        self.leaves_after, self.stalls_after = leaves_after, stalls_after
        self.status, self.headers, self.pieces, self.whole = None, {}, [], False
        self.scope = {WHEN_GONE: self._when_gone}

    def _when_gone(self, tell):
        self._tell = tell

    async def receive(self):
        raise AssertionError("a stream has nothing to receive")

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        if self.stalls_after is not None and len(self.pieces) >= self.stalls_after:
            asyncio.get_running_loop().call_soon(self._tell, TOOK_NOTHING)
            await asyncio.Event().wait()
        self.pieces.append(message["body"])
        self.whole = not message["more_body"]
        if self.leaves_after is not None and len(self.pieces) >= self.leaves_after:
            self.leave()
            await asyncio.sleep(0)

    @property
    def text(self):
        return b"".join(self.pieces).decode()

    def leave(self):
        self._tell(LEFT)


async def stream(parts, one=None, reader=None, framed=frame):
    """Stream one answer to a reader and give the reader."""
    reader = reader or Reader()
    await StreamedAnswer(parts, one or asked(), framed)(reader.scope, reader.receive, reader.send)
    return reader
