"""A guide that sees every text together with what it is labelled with.

    u_0(x) = guide(x),   u_r+1(x) = unit(u_r(x) + unit(mean of u_r over the labelled partners of x))

A guide that sees two short texts errs; seen with its partners (a query with its answers, a document
with the queries it answers) each text errs less, because four cosines are averaged: query and
document, the query's own answer and that document, the query and the document's own query, and that
answer with that query. In later rounds partners of partners join in: on densely labelled data this
comes to "queries that share some answers share all".

Source: this workbench; smoothing features along a graph is Wu et al. 2019, "Simplifying graph
convolutional networks", section 2, here with the guide's vectors and the positives as edges.
"""

from __future__ import annotations

import numpy as np

from workbench.errors import check_count
from workbench.files import fingerprint
from workbench.mine.facts import check_vectors, unit
from workbench.types import Collection, Vectors


def with_partners(
    collection: Collection, guide: tuple[Vectors, Vectors], *, rounds: int = 2
) -> tuple[Vectors, Vectors]:
    """The guide's vectors, each averaged with those of its labelled partners.

    Give them as `guide=` to `Knowledge.of`, `apply_rules` or `dense`: every rule that asks a guide
    then compares company instead of texts. How well the cosine of query and document ranks hidden
    positives (average precision, all-MiniLM-L6-v2), beside the guide's own and `neighbour`:

        clinc150, one positive per query     .80    guide .54   neighbour .53
        clinc150, ten positives per query    .99    guide .39   neighbour .60
        cranfield, five positives per query  .15    guide .08   neighbour .10

    Cosines rise with the number of partners, so a fixed threshold does not carry over from one
    collection to the next; `rules.Adaptive`, which goes by each anchor's own candidates, does.
    Adding what was found as new partners and going round again made it worse.

    Args:
        collection: its positives say who is whose partner; training labels only.
        guide: (query vectors, document vectors) of a frozen model, in the collection's order.
        rounds: how often every text takes in its partners; 0 is the guide itself, usual 1 or 2.

    Returns:
        (query vectors, document vectors) of length 1; a text without a partner keeps its own.

    Raises:
        BadArgument: rounds < 0, or widths differ.
        BadData: vectors of other texts.

    Example:
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": "a", "positive": "b"}], name="demo")
        >>> guide = [Vectors(values=np.array([row], dtype=np.float32), ids=ids, encoder="e")
        ...          for row, ids in (([1, 0], demo.query_ids), ([0, 1], demo.doc_ids))]
        >>> with_partners(demo, (guide[0], guide[1]))[0].values.round(2)
        array([[0.71, 0.71]], dtype=float32)

    Breaks when: labels are wrong (a wrong partner pulls a text away); a document answers unrelated
    queries (they then keep its company); most candidates have no labelled query, as mined ones may.
    """
    check_count("rounds", rounds, at_least=0, mend="Try 2.")
    check_vectors("guide", guide, collection.query_ids, collection.doc_ids)
    from scipy import sparse

    pairs = collection.pairs
    cells = (np.ones(len(pairs), dtype=np.float32), (pairs[:, 0], pairs[:, 1]))
    partners = sparse.coo_array(cells, shape=collection.qrels.shape).tocsr()
    queries, docs = (unit(side.values) for side in guide)
    for _ in range(rounds):
        answers, askers = unit(partners @ docs), unit(partners.T @ queries)
        queries, docs = unit(queries + answers), unit(docs + askers)
    made = fingerprint("with_partners", [side.fingerprint for side in guide], pairs, rounds)
    return (
        Vectors(values=queries, ids=collection.query_ids, encoder=made),
        Vectors(values=docs, ids=collection.doc_ids, encoder=made),
    )
