"""Hashes of what decides a vector: the weights and the tokenizer themselves, never their names."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import nn
from xxhash import xxh3_128

from workbench import files


def hash_weights(module: nn.Module, *, unused: tuple[str, ...] = ()) -> str:
    """Hash every tensor of the state: name, type, shape and bytes.

    Args:
        module: whose state.
        unused: beginnings of the names of tensors that no vector depends on.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> before = hash_weights(layer)
        >>> _ = layer.bias.data.add_(1)
        >>> hash_weights(layer) == before
        False
    """
    digest = xxh3_128()
    for name, tensor in sorted(module.state_dict().items()):
        if name.startswith(unused):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def hash_tokenizer(tokenizer: Any) -> str:
    """Hash a `tokenizers.Tokenizer`, leaving out padding and length, which callers change."""
    recipe = json.loads(tokenizer.to_str())
    recipe.pop("padding", None)
    recipe.pop("truncation", None)
    return files.fingerprint(json.dumps(recipe, sort_keys=True))
