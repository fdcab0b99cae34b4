"""The two bodies an encoder can have: a transformer with pooling, or a bag of token vectors."""

from __future__ import annotations

from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from workbench.encode.pooling import POOLINGS, pool
from workbench.errors import check_choice

# Written by save and load, or changing how fast a model runs but not what it computes.
_not_content = {
    "_name_or_path", "_commit_hash", "architectures", "attn_implementation", "dtype", "torch_dtype",
    "transformers_version", "use_cache", "auto_map",
}  # fmt: skip


@final
class Transformer(nn.Module):
    """Any `transformers` model that returns `last_hidden_state`, pooled to one vector per text.

    Args:
        model: the transformer.
        pooling: "mean", "cls" or "last".
    """

    def __init__(self, model: nn.Module, *, pooling: str) -> None:
        super().__init__()
        check_choice("pooling", pooling, POOLINGS)
        self.model = model
        self.pooling = pooling
        # The head behind the hidden states: random where a checkpoint has none, so it may not
        # change a fingerprint, and without gradient, for which a distributed run would wait.
        known = type(model).__module__.startswith("transformers.models.")
        head = getattr(model, "pooler", None) if known else None
        self.unused: tuple[str, ...] = ()
        if isinstance(head, nn.Module):
            head.requires_grad_(requires_grad=False)
            self.unused = ("model.pooler.",)

    @property
    def config(self) -> Any:
        """The configuration of the transformer."""
        return self.model.config

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.config.hidden_size)

    @property
    def most_tokens(self) -> int | None:
        """Longest text the position embeddings can hold, if they bound it."""
        most = getattr(self.config, "max_position_embeddings", None)
        return None if most is None else int(most)

    def content(self) -> dict[str, Any]:
        """What besides weights decides the vectors."""
        settings = self.config.to_dict()
        return {name: str(value) for name, value in settings.items() if name not in _not_content}

    def forward(
        self, input_ids: Int[Tensor, "text token"], attention_mask: Int[Tensor, "text token"]
    ) -> Float[Tensor, "text dim"]:
        """One vector per text."""
        output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        return pool(output.last_hidden_state, attention_mask, how=self.pooling)


@final
class Bag(nn.Module):
    """The mean of one learned vector per token, order ignored: u = (1/n) sum_t E[id_t].

    It is what sentence-transformers calls StaticEmbedding, and some hundred times faster than a
    transformer; a text without tokens gets the zero vector.

    Args:
        weight: (vocabulary, dim) vectors, one per token id.

    Example:
        >>> bag = Bag(torch.tensor([[0.0, 0.0], [1.0, 3.0], [3.0, 1.0]]))
        >>> bag(torch.tensor([[1, 2], [1, 0]]), torch.tensor([[1, 1], [1, 0]])).tolist()
        [[2.0, 2.0], [1.0, 3.0]]

    Breaks when: word order or context carries the meaning ("a to b" and "b to a" are equal).
    """

    pooling = "mean"
    most_tokens: int | None = None
    unused: tuple[str, ...] = ()

    def __init__(self, weight: Float[Tensor, "vocabulary dim"]) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag.from_pretrained(weight, freeze=False, mode="mean")

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.embedding.embedding_dim

    def content(self) -> dict[str, Any]:
        """What besides weights decides the vectors."""
        return {"model_type": "bag"}

    def forward(
        self, input_ids: Int[Tensor, "text token"], attention_mask: Int[Tensor, "text token"]
    ) -> Float[Tensor, "text dim"]:
        """One vector per text."""
        real = attention_mask.bool()
        ends = real.sum(dim=1).cumsum(dim=0)
        starts = functional.pad(ends, (1, 0))[:-1]
        pooled: Tensor = self.embedding(input_ids[real], starts)
        return pooled.float() if pooled.dtype in (torch.bfloat16, torch.float16) else pooled
