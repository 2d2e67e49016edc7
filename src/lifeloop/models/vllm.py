"""Model kind "vllm": a vLLM server, joined by URL or started here, and then asked as any OpenAI-compatible endpoint.

What training made of a language model (`language/`) is what is served, where there is such. How a server is kept is in
`vllm_server`, how it is asked in `remote`.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop.core.bounds import Count, NotNegative, Positive, Whole
from lifeloop.core.candidates import Candidate, Estimate, Machine
from lifeloop.core.data import Profile
from lifeloop.core.errors import ModelError
from lifeloop.models import remote
from lifeloop.models.language_files import LANGUAGE
from lifeloop.models.llamacpp import Learned, learned_in
from lifeloop.models.model import Model
from lifeloop.models.vllm_server import VllmServer
from lifeloop.models.weights import find_safetensors

KEY = "VLLM_API_KEY"
"""Environment variable from which `vllm serve` reads the key that it asks for."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model and server, how to decode."""

    model: str
    """With `url`, the model's name there. Without, a folder, "package:NAME" or "hub:ORG/NAME"; what training made of
    it comes before it."""
    url: str = ""
    """Base URL of a running server, ending in /v1; without one, a server is started."""
    args: tuple[str, ...] = ()
    """What `vllm serve MODEL` is told besides, such as ["--max-model-len", "8192"]."""
    start_seconds: Positive = 1800.0
    """How long a server may take to load."""
    api_key_env: str = ""
    """Environment variable that holds the key of a running server; one that is started gets a key of its own."""
    prompt: str = ""
    shots: Whole = 0
    shot_words: Count = 200
    max_words: Count = 2000
    concurrency: Count = 32
    timeout_seconds: Positive = 60.0
    retries: Whole = 4
    temperature: NotNegative = 0.0
    max_tokens: Whole = 0
    """0: as the task asks."""


class Vllm(remote.Remote):
    """A client of a server that was started for it, and ends with it."""

    def __init__(self, candidate: Candidate, learned: Learned, key: str, server: VllmServer) -> None:
        super().__init__(candidate, learned, key)
        self.server = server

    def close(self) -> None:
        """Close the connections and end the server."""
        super().close()
        self.server.stop()


class VllmKind:
    """Model kind "vllm"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "1"
    writes = True

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return a client of the server, which is started and waited for where there is no URL. Raises ModelError."""
        settings = msgspec.convert(candidate.settings, Settings)
        if settings.url:
            return remote.KIND.load(_asked_as(candidate, settings, settings.url, settings.model), folder, members)
        where = f"candidates.{candidate.name}"
        key = secrets.token_urlsafe(24)
        command = ["vllm", "serve", _weights(settings, folder, where), "--served-model-name", candidate.name]
        server = VllmServer([*command, *settings.args], {KEY: key}, where)
        server.start(settings.start_seconds)
        asked = _asked_as(candidate, settings, f"http://127.0.0.1:{server.port}/v1", candidate.name)
        return Vllm(asked, learned_in(folder), key, server)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return what the client needs: the server's memory is its GPU's, and how long it takes nobody knows before."""
        return Estimate(
            memory_gb=0.15 if settings.url else 4.0,
            build_seconds=0.1,
            seconds_per_item=1.0 / max(1, settings.concurrency),
            basis="a request a second on each connection is assumed",
        )


def _asked_as(candidate: Candidate, settings: Settings, url: str, model: str) -> Candidate:
    """Return the candidate as the kind "remote" reads it."""
    known = {name: getattr(settings, name) for name in remote.Settings.__struct_fields__ if hasattr(settings, name)}
    return msgspec.structs.replace(candidate, kind="remote", settings=known | {"url": url, "model": model})


def _weights(settings: Settings, folder: Path | None, where: str) -> str:
    if folder is not None and (folder / LANGUAGE).is_dir():
        return str(folder / LANGUAGE)
    if settings.model.startswith("hub:"):
        return settings.model.removeprefix("hub:")  # vLLM fetches it itself
    if not settings.model:
        raise ModelError("no model is named", where=f"{where}.model", fix='write model = "hub:ORG/NAME"')
    return str(find_safetensors(settings.model, f"{where}.model"))


KIND = VllmKind()
