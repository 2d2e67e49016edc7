"""GET /v1/models and /v1/models/ID: the names that requests may give as `model`."""

import msgspec

from lifeloop.gateway.endpoints.completions import no_model
from lifeloop.gateway.endpoints.replies import ModelReply, ModelsReply
from lifeloop.gateway.serving import Parts
from lifeloop.gateway.web.http import Call, Reply


async def models(call: Call) -> Reply:
    """List the project and the released candidate."""
    return Reply(msgspec.json.encode(ModelsReply(_models(call.parts))))


async def model(call: Call) -> Reply:
    """Describe one of them."""
    for known in _models(call.parts):
        if known.id == call.path:
            return Reply(msgspec.json.encode(known))
    raise no_model(call.path)


def _models(parts: Parts) -> list[ModelReply]:
    live = parts.router.peek()
    names = dict.fromkeys([parts.serving.project, *([live.name] if live else [])])
    return [ModelReply(name, int(live.at) if live else 0) for name in names]
