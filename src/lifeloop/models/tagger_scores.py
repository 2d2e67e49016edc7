"""The scores that a tagger's network gives the words of whole texts, windows put together.

Takes readings, gives one array a text. Serving and training both score through here, so that what validation was asked
is what is served.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lifeloop.models.tagger_crf import Scores
from lifeloop.models.tagger_reading import Reading, stack

if TYPE_CHECKING:
    from lifeloop.models.tagger_network import Network

TOKENS_A_BATCH, ROWS_A_BATCH = 2048, 64


def word_scores(network: "Network", tokeniser: Any, readings: Sequence[Reading]) -> list[Scores]:
    """Return the scores of every tag for the words of each text: (n_words, n_tags)."""
    import torch

    found = [np.zeros((len(reading.words), len(network.design.tags))) for reading in readings]
    waiting = [
        (row.n_tokens, text, place) for text, reading in enumerate(readings) for place, row in enumerate(reading.rows)
    ]
    waiting.sort(reverse=True)
    network.eval()
    with torch.inference_mode():
        while waiting:
            size = max(1, min(ROWS_A_BATCH, TOKENS_A_BATCH // (waiting[0][0] + 2)))
            batch, waiting = waiting[:size], waiting[size:]
            rows = [readings[text].rows[place] for _, text, place in batch]
            scores = network(stack(rows, tokeniser)).float().cpu().double().numpy()
            for (_, text, place), own in zip(batch, scores, strict=True):
                window = readings[text].windows[place]
                part = own[window.owned_first - window.first : window.owned_end - window.first]
                found[text][window.owned_first : window.owned_end] = part
    return found
