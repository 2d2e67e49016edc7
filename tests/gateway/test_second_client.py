"""A client that has nothing of OpenAI's own package: Vercel's AI SDK for Node, unmodified, against a gateway."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from openai_upstream import SAID
from remote_scene import remote_gateway

HERE = Path(__file__).parent / "second_client"


@pytest.fixture(scope="module")
def folder(request) -> Path:
    """The SDK, installed once into pytest's cache."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = Path(request.config.cache.mkdir("ai-sdk"))
    for name in ("package.json", "ask.mjs"):
        shutil.copy(HERE / name, folder / name)
    if not (folder / "node_modules" / "ai").exists():
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            assert "ENOTFOUND" in done.stderr or "network" in done.stderr.lower(), done.stderr
            pytest.skip("the registry of node packages is out of reach")
    return folder


@pytest.mark.slow
def test_vercels_ai_sdk_gets_texts_streams_tools_objects_vectors_and_errors(folder, tmp_path):
    with remote_gateway(tmp_path) as (url, _, scene):
        done = subprocess.run(
            ["node", "ask.mjs", f"{url}/v1"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        events = scene.events(7)
    got = json.loads(done.stdout)
    assert got["text"] == got["streamed"] == SAID
    assert got["usage"] == got["streamedUsage"] == 16 and got["reason"] == "stop"
    assert got["withTool"] == got["streamedWithTool"] == "The tool says sunny in Paris." and got["steps"] == 2
    assert got["object"] == {"name": "Ada", "age": 7}
    assert got["vectors"] == [[4.0, 0.5], [7.0, 0.5]]
    assert got["error"] == {"isApiError": True, "status": 404, "message": "The model `nobody` does not exist."}
    assert all(not event.error for event in events)
