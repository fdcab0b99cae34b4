"""Rewritten copies of test texts in training: the nearest by embedding, then a judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.audit.judges import Opinion, Question, to_verdicts
from workbench.audit.overlap import check_same_encoder
from workbench.data.sets import check_texts
from workbench.errors import BadArgument, BadData, check_count
from workbench.mine.exact import finite_sides
from workbench.mine.facts import check_pair, unit
from workbench.mine.index import nearest
from workbench.types import Floats, Ids, Ints, Vectors, Verdicts

if TYPE_CHECKING:
    import pandas as pd

SAME, OTHER, UNRESOLVED = 1, 0, -1


@dataclass(frozen=True, eq=False, kw_only=True)
class Rephrased:
    """Which test texts a judge recognised among their nearest training texts.

    Args:
        test_ids: (test,).
        train_ids: (train,).
        near: (test, rank) positions in `train_ids`, nearest first; -1 where an approximate search
            found no more, which stays unresolved.
        similarity: (test, rank) cosine.
        said: (test, rank) 1 = the same text rewritten, 0 = another one, -1 = the judge gave no
            answer, or two that differ.
        verdicts: what was resolved, by (test id, training id).

    Example:
        >>> two = np.array(["a", "b"], dtype=object)
        >>> Rephrased(test_ids=two, train_ids=two, near=np.array([[0], [1]]),
        ...           similarity=np.ones((2, 1), np.float32), said=np.array([[1], [-1]]),
        ...           verdicts=Verdicts.of([("a", "a", "positive")], judge="me"))
        Rephrased(2 test texts: 1 contaminated, 0 clean, 1 unresolved; only the top 1 seen)
    """

    test_ids: Ids
    train_ids: Ids
    near: Ints
    similarity: Floats
    said: Ints
    verdicts: Verdicts

    @property
    def contaminated(self) -> NDArray[np.bool_]:
        """(test,) true where any candidate is the same."""
        return np.asarray((self.said == SAME).any(axis=1))

    @property
    def unresolved(self) -> NDArray[np.bool_]:
        """(test,) true where none is known to be the same and some candidate is not resolved."""
        return np.asarray((self.said == UNRESOLVED).any(axis=1) & ~self.contaminated)

    @property
    def clean(self) -> NDArray[np.bool_]:
        """(test,) true where every candidate is another text; a copy beyond them is not seen."""
        return np.asarray((self.said == OTHER).all(axis=1))

    def share(self) -> tuple[float, float]:
        """Share of the test texts that is contaminated: as found, and if all unresolved were."""
        found = float(self.contaminated.mean())
        return found, found + float(self.unresolved.mean())

    def frame(self) -> pd.DataFrame:
        """One row per pair asked: ids, rank from 1, similarity, what was said."""
        import pandas as pd

        count, wide = self.near.shape
        names = {SAME: "same", OTHER: "other", UNRESOLVED: "unresolved"}
        found = self.near.ravel() >= 0
        return pd.DataFrame(
            {
                "test_id": np.repeat(self.test_ids, wide),
                "train_id": self.train_ids[self.near.ravel()],
                "rank": np.tile(np.arange(1, wide + 1), count),
                "similarity": self.similarity.ravel(),
                "said": [names[said] for said in self.said.ravel().tolist()],
            }
        )[found].reset_index(drop=True)

    def __repr__(self) -> str:
        parts = [
            f"{int(getattr(self, name).sum()):,} {name}"
            for name in ("contaminated", "clean", "unresolved")
        ]
        seen = f"only the top {self.near.shape[1]} seen"
        return f"Rephrased({len(self.test_ids):,} test texts: {', '.join(parts)}; {seen})"


def find_rephrased(
    test: Sequence[str],
    train: Sequence[str],
    vectors: tuple[Vectors, Vectors],
    judge: Callable[[Sequence[Question]], list[Opinion]],
    *,
    top_k: int = 1,
    not_from: str | None = None,
    index: str = "auto",
    seed: int = 0,
) -> Rephrased:
    """Ask a judge of each test text whether one of its nearest training texts is the same.

        contaminated(t) = any of the k nearest by cosine is judged the same as t

    A reworded copy shares no n-gram with its original, and a cosine alone cannot tell it from a
    neighbour; embedding finds the candidates, the judge decides. Recall is capped by the search: a
    copy that is not among the k nearest is never judged. What the judge leaves unanswered is
    unresolved, never clean.

    Args:
        test: evaluation texts.
        train: training texts.
        vectors: (those of `test`, those of `train`), whose ids name the texts, by an encoder that
            saw neither: one trained on `train` draws the look-alikes in.
        judge: any of `audit.judges`, an LLM with the task `judges.SAME`, or a function that answers
            questions with opinions.
        top_k: candidates per test text; the paper takes 1, more find more and cost k questions.
        not_from: fingerprint of the encoder under training or evaluation; its vectors are refused.
        index: see `mine.nearest`; "flat" is exact.
        seed: of the index.

    Returns:
        Per test text what was found, with the verdicts.

    Raises:
        BadArgument: counts that do not fit, vectors of two encoders or of the encoder under audit,
            an option out of range, a judge that gives no list of opinions.
        BadData: an id that stands twice, a vector that is not finite, an opinion on a pair that was
            never asked.

    Example:
        >>> def judge(asked):
        ...     return [Opinion(query_id=one.query_id, doc_id=one.doc_id, judge="letters",
        ...                     label=sorted(one.query) == sorted(one.doc)) for one in asked]
        >>> both = Vectors(values=np.eye(2, dtype=np.float32), encoder="e",
        ...                ids=np.array(["x", "y"], dtype=object))
        >>> find_rephrased(["ab", "cd"], ["ba", "ce"], (both, both), judge).contaminated.tolist()
        [True, False]

    Source: Yang et al., 2023, "Rethinking benchmark and contamination for language models with
    rephrased samples" (LLM decontaminator).

    Breaks when: the judge says yes to neighbours; measure it against people (`audit.measured`).
    """
    check_count("top_k", top_k, mend="Try 1, or 5.")
    _check_sides(test, train, vectors, not_from)
    if not callable(judge):
        raise BadArgument("judge", judge, "it must be a judge", "See workbench.audit.judges.")
    ours, theirs = vectors
    finite_sides(ours.values, theirs.values)
    similarity, near, _ = nearest(
        unit(ours.values), unit(theirs.values), k=min(top_k, len(train)), index=index, seed=seed
    )
    asked = [
        Question(
            query_id=ours.ids[row], doc_id=theirs.ids[place], query=test[row], doc=train[place]
        )
        for row, places in enumerate(near.tolist())
        for place in places
        if place >= 0
    ]
    opinions = judge(asked)
    said = np.full(near.shape, UNRESOLVED, dtype=np.int64)
    said[near >= 0] = _answers(asked, opinions)
    return Rephrased(
        test_ids=ours.ids,
        train_ids=theirs.ids,
        near=near,
        similarity=similarity,
        said=said,
        verdicts=to_verdicts(opinions),
    )


def _check_sides(
    test: Sequence[str],
    train: Sequence[str],
    vectors: tuple[Vectors, Vectors],
    not_from: str | None,
) -> None:
    check_pair("vectors", vectors)
    for name, texts, side in zip(("test", "train"), (test, train), vectors, strict=True):
        check_texts(name, texts)
        if not len(texts):
            raise BadArgument(name, [], "it must hold at least one text", "Pass some texts.")
        if len(texts) != len(side.ids):
            wanted = f"there must be one text for each of {len(side.ids):,} vectors"
            raise BadArgument(name, len(texts), wanted, "Encode these very texts, in their order.")
        values, counts = np.unique(side.ids.astype(str), return_counts=True)
        if len(twice := values[counts > 1]):
            problems = [f"id {one!r} stands twice" for one in twice.tolist()]
            raise BadData(f"the {name} vectors", problems, "Give each text an id of its own.")
    check_same_encoder(*vectors)
    if not_from is not None and vectors[0].encoder == not_from:
        wanted = "an encoder must not audit its own training data: it draws copies and look-alikes"
        mend = "Encode both sides with a model that saw neither."
        raise BadArgument("vectors", vectors[0].encoder, wanted, mend)


def _answers(asked: Sequence[Question], opinions: object) -> Ints:
    """(question,) 1, 0 or -1: what the opinions of each pair agree on."""
    if not isinstance(opinions, list) or any(not isinstance(one, Opinion) for one in opinions):
        raise BadArgument("judge", opinions, "it must give a list of Opinion", "See audit.judges.")
    found: dict[tuple[str, str], set[bool | None]] = {one.pair: set() for one in asked}
    strange = []
    for one in opinions:
        pair = (one.query_id, one.doc_id)
        if pair in found:
            found[pair].add(one.label)
        else:
            strange.append(f"an opinion on {pair}, which was not asked")
    if strange:
        raise BadData("the judge's answer", strange, "Answer with the ids of the questions.")
    said = [found[one.pair] for one in asked]
    codes = [SAME if one == {True} else OTHER if one == {False} else UNRESOLVED for one in said]
    return np.array(codes, dtype=np.int64)
