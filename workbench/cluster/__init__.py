"""Encoding and mining on a Dask cluster: the same verbs, the same answers, many machines.

    with cluster.connect("tcp://scheduler:8786") as client:  # or connect(): processes here
        queries, docs = cluster.encode_collection(encoder, train, client=client, folder=shared)
        found = cluster.dense(train, queries, docs, k=100, client=client, folder=shared)

Work is cut into shards. What a shard needs and what it gives are files of one folder that every
machine sees: Parquet for texts, `.npy` for vectors, an encoder as its own folder. A task carries
paths and numbers only; its result is written whole or not at all, and found there if it is done.
So a killed worker's shard is run again elsewhere, and a killed client goes on where it stopped.
"""

from workbench.cluster.connect import connect
from workbench.cluster.dense import dense
from workbench.cluster.encode import encode, encode_collection

__all__ = ["connect", "dense", "encode", "encode_collection"]
