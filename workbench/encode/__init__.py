"""From texts to vectors: encoders, their tokens, and a cache that cannot lie."""

from workbench.encode.cache import VectorCache
from workbench.encode.cross_encoder import CrossEncoder
from workbench.encode.encoder import Encoder
from workbench.encode.scratch import scratch
from workbench.encode.sides import encode_collection
from workbench.encode.tokens import Tokens, token_batches

__all__ = [
    "CrossEncoder",
    "Encoder",
    "Tokens",
    "VectorCache",
    "encode_collection",
    "scratch",
    "token_batches",
]
