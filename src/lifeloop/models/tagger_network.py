"""The network of a tagger: an encoder that is told how its words are written, and a score of every tag for every word.

Takes the arrays of a batch, gives scores; for training also the loss of a linear chain. Knows nothing of texts, files
and entities. Imports torch: whoever needs it imports this module where it is needed.

After Ma and Hovy (2016) and Peters et al. (2018): characters through a convolution, layers mixed by learnt shares.
"""

from typing import Any

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn

from lifeloop.models.tagger_crf import Chain, independent, rules
from lifeloop.models.tagger_reading import Batch
from lifeloop.models.tagger_words import N_CHARACTERS, N_FACTS, SHAPES

CHARACTERS, FILTERS, SHAPE = 32, 64, 16
"""Width of a character, number of the convolution's filters, width of a shape."""


class Design(Struct, frozen=True):
    """What the network is built of."""

    tags: tuple[str, ...]
    crf: bool = True
    characters: bool = True
    shapes: bool = True
    context: int = 0
    """Width of a recurrent layer over the words, each way; 0 for none."""
    dropout: float = 0.3


class Network(nn.Module):
    """An encoder's body under a head that tags words."""

    def __init__(self, body: Any, design: Design) -> None:
        super().__init__()
        self.body = body
        self.design = design
        width, n_tags = int(body.config.hidden_size), len(design.tags)
        self.shares = nn.Parameter(torch.zeros(int(body.config.num_hidden_layers) + 1))
        wide = width
        if design.shapes:
            self.cases = nn.Embedding(1 + len(SHAPES), width)
            nn.init.zeros_(self.cases.weight)  # so that training starts from what the encoder knows
            self.shapes = nn.Embedding(len(SHAPES), SHAPE)
            wide += SHAPE + N_FACTS
        if design.characters:
            self.letters = nn.Embedding(N_CHARACTERS, CHARACTERS, padding_idx=0)
            self.filters = nn.Conv1d(CHARACTERS, FILTERS, 3, padding=1)
            wide += FILTERS
        self.dropout = nn.Dropout(design.dropout)
        if design.context:
            self.context = nn.LSTM(wide, design.context, batch_first=True, bidirectional=True)
            wide = 2 * design.context
        self.score = nn.Linear(wide, n_tags)
        forbidden = rules(design.tags) if design.crf else independent(n_tags)
        for name in ("start", "after", "stop"):
            self.register_buffer(f"rule_{name}", torch.tensor(getattr(forbidden, name), dtype=torch.float32), False)
            if design.crf:
                self.register_parameter(name, nn.Parameter(torch.zeros(getattr(forbidden, name).shape)))

    def forward(self, batch: Batch) -> Tensor:
        """Return the score of every tag for every word: (n, w, n_tags)."""
        device = self.score.weight.device
        states = self._states(batch, device)
        words = torch.from_numpy(batch.average).to(device, states.dtype) @ states
        parts = [words]
        if self.design.shapes:
            parts += [
                self.shapes(torch.from_numpy(batch.shapes).to(device)),
                torch.from_numpy(batch.facts).to(device),
            ]
        if self.design.characters:
            parts.append(self._spelling(torch.from_numpy(batch.characters).to(device)))
        found = self.dropout(torch.cat(parts, dim=-1))
        if self.design.context:
            lengths = torch.from_numpy(batch.held.sum(axis=1))
            packed = nn.utils.rnn.pack_padded_sequence(found, lengths, batch_first=True, enforce_sorted=False)
            found, _ = nn.utils.rnn.pad_packed_sequence(self.context(packed)[0], batch_first=True)
            found = self.dropout(found)
        return self.score(found)

    def _states(self, batch: Batch, device: torch.device) -> Tensor:
        """Return the states of the tokens, their layers mixed: (n, s, width)."""
        vectors = self.body.get_input_embeddings()(torch.from_numpy(batch.ids).to(device))
        if self.design.shapes:
            vectors = vectors + self.cases(torch.from_numpy(batch.cases).to(device))
        mask = torch.from_numpy(batch.mask).to(device)
        layers = self.body(inputs_embeds=vectors, attention_mask=mask, output_hidden_states=True).hidden_states
        shares = self.shares.softmax(dim=0)
        return sum(
            (share * layer for share, layer in zip(shares, layers, strict=True)), start=torch.zeros_like(layers[0])
        )

    def _spelling(self, letters: Tensor) -> Tensor:
        """Return what the filters see in each word's characters: (n, w, FILTERS)."""
        n, words, length = letters.shape
        seen = self.filters(self.letters(letters.view(n * words, length)).transpose(1, 2)).relu()
        seen = seen * (letters.view(n * words, 1, length) > 0)
        return seen.amax(dim=2).view(n, words, FILTERS)

    def chain(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return what a tag scores at the start, after another, and at the end."""
        if not self.design.crf:
            return self.rule_start, self.rule_after, self.rule_stop
        return self.start + self.rule_start, self.after + self.rule_after, self.stop + self.rule_stop

    def chain_as_arrays(self) -> Chain:
        """Return the same, for decoding."""
        return Chain(*(part.detach().cpu().double().numpy() for part in self.chain()))

    def loss(self, scores: Tensor, tags: Tensor, held: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of the right tags a word.

        `scores` (n, w, n_tags), `tags` (n, w) with any number where `held` (n, w) is False; every row has a first word.
        """
        start, after, stop = self.chain()
        right = scores.gather(2, tags.unsqueeze(2)).squeeze(2)
        steps = after[tags[:, :-1], tags[:, 1:]]
        last = tags.gather(1, held.sum(dim=1, keepdim=True) - 1).squeeze(1)
        truth = start[tags[:, 0]] + (right * held).sum(1) + (steps * held[:, 1:]).sum(1) + stop[last]
        every = start + scores[:, 0]
        for place in range(1, scores.shape[1]):
            onward = torch.logsumexp(every.unsqueeze(2) + after, dim=1) + scores[:, place]
            every = torch.where(held[:, place].unsqueeze(1), onward, every)
        return (torch.logsumexp(every + stop, dim=1) - truth).sum() / held.sum()


def head_of(network: Network) -> dict[str, Tensor]:
    """Return the weights of everything but the encoder's body."""
    return {name: weight for name, weight in network.state_dict().items() if not name.startswith("body.")}


def as_tensor(array: np.ndarray, network: Network) -> Tensor:
    """Return an array where the network is."""
    return torch.from_numpy(array).to(network.score.weight.device)
