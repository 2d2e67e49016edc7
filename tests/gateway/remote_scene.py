"""A chat project whose released candidate is a real `remote`, before an endpoint that speaks the protocol."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway_scene import Scene
from openai_upstream import Upstream, upstream

from lifeloop.core.candidates import Candidate
from lifeloop.models.loading import load_candidate


class RemoteScene(Scene):
    """A project that passes on what it is asked."""

    def __init__(self, folder: Path, url: str, task: str = "chat") -> None:
        super().__init__(folder, task)
        settings = {"url": url, "model": "stub", "usd_per_million_in": 1.0, "usd_per_million_out": 2.0}
        candidate = Candidate(name="far", kind="remote", task=task, labels=self.labels, settings=settings)
        self.ids["far"] = identifier = self.vault.put_value(candidate)
        self.factories[identifier] = lambda: load_candidate(self.vault, identifier)


@contextmanager
def remote_gateway(folder: Path) -> Iterator[tuple[str, Upstream, RemoteScene]]:
    """Give the URL of a gateway, the endpoint behind it, and the project."""
    with upstream() as endpoint:
        scene = RemoteScene(folder, endpoint.url)
        scene.release("far")
        with scene.running() as url:
            yield url, endpoint, scene
