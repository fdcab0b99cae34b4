"""How likely is each mined candidate a positive that nobody labelled?

Before any judgment the weights of the signals come from labels hidden on purpose (`hide`):

    s(x)  = P(hidden label | signals x), logistic, on hidden labels and candidates nobody labelled
    c     = the 90th percentile of s among hidden labels
    p0(x) = logistic fit, over all signals of all candidates, to the soft labels min(1, s(x) / c)

In a collection of one label per query and one query per document, hiding a label leaves nothing to
learn the label-based signals from; there, and without labels, the three best of them have an equal
say (`learn.agreement`). A near copy of a labelled answer is always suspected.

With judgments the model starts from p0, held as if it were `STRENGTH` judgments spread over all
candidates, and learns from them:

    p(x) = logistic([logit p0(x), x]), fitted to p0 (weight STRENGTH) and to judgments (weight 1)

A judged candidate's own probability comes from a fit without the judgments of its query.

Source: this workbench. The division by c is Elkan and Noto 2008, "Learning Classifiers from Only
Positive and Unlabeled Data" (they take the mean, right where classes do not overlap); fitting the
signals that compare with a query's own positives to what the other signals say is co-training, Blum
and Mitchell 1998.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.audit.evidence import Evidence, Guides, check_guides, evidence
from workbench.audit.hide import hide
from workbench.audit.learn import MODELS, learned, prior_of
from workbench.audit.words import Words
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData, check_choice, check_count
from workbench.mine.facts import said_of
from workbench.mine.named import Scores
from workbench.types import Candidates, Collection, Floats, Ints, LossStore, Verdicts
from workbench.types._columns import same_length

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False, kw_only=True)
class Suspicion:
    """A mined list with the probability of every candidate of being a false negative.

    Args:
        candidates: the list.
        signals: what is known of each candidate.
        prior: (query, rank) probability before any judgment, NaN where there is no candidate.
        probability: (query, rank) the same with judgments; of a judged candidate it is what the
            model says without the judgments of its query and of equal ones, so that it can be
            compared with them.
        verdict: (query, rank) +1 judged positive or labelled so, -1 judged negative, 0 neither.
        labelled: (query, rank) true for known positives that the miner let into the list.
        groups: (query,) queries of one number say the same thing.
        recipe: how the prior was made, options, counts.
    """

    candidates: Candidates
    signals: Evidence
    prior: Floats
    probability: Floats
    verdict: NDArray[np.int8]
    labelled: NDArray[np.bool_]
    groups: Ints
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("prior", "probability", "verdict", "labelled"):
            shape = getattr(self, name).shape
            if shape != self.candidates.docs.shape:
                wanted = f"it must be {self.candidates.docs.shape} as the candidates are"
                raise BadArgument(name, shape, wanted, "Align it.")
        same_length("Suspicion", query_ids=self.candidates.query_ids, groups=self.groups)

    def decided(self) -> Floats:
        """(query, rank) the probability, or 1 and 0 where it was judged: what to act on."""
        said = np.where(self.verdict > 0, np.float32(1), np.float32(0))
        return np.where(self.verdict != 0, said, self.probability).astype(np.float32)

    def table(self, *, decided: bool = True) -> csr_array:
        """(query, doc) sparse probabilities, for `scores={"suspicion": ...}` of miners and losses.

        `rules.Scored(fact="suspicion", at_most=0.3)` then drops what is suspected; candidates that
        are not in the list are unknown to it and kept.

        Args:
            decided: judged candidates have 1 or 0, for training. False gives what the model says of
                them without their query's judgments: measured on judged pairs (`compare_rules`,
                `before_after`), verdicts would be compared with themselves and always be right.
        """
        from scipy import sparse

        there = self.candidates.docs >= 0
        cells = (np.nonzero(there)[0], self.candidates.docs[there])
        shape = (len(self.candidates.query_ids), len(self.candidates.doc_ids))
        value = self.decided() if decided else self.probability
        return sparse.coo_array((value[there], cells), shape=shape).tocsr()

    def judged(self, verdicts: Verdicts, *, model: str = "logistic", seed: int = 0) -> Suspicion:
        """The same list with what judgments teach; earlier ones are forgotten, signals are kept.

        Args:
            verdicts: all there are. "unsure" and "skip" teach nothing; pairs that are not in the
                list are left out.
            model: "logistic", or "boosting" (scikit-learn's, for some thousand judgments and more).
            seed: of folds and boosting.

        Raises:
            BadArgument: an unknown model.
        """
        check_choice("model", model, MODELS)
        check_count("seed", seed, at_least=0, mend="Try 0.")
        there = self.candidates.docs >= 0
        said = np.where(self.labelled, np.int8(1), said_of(verdicts, self.candidates))
        labels = np.where(self.labelled, np.int8(0), said)[there]  # they say nothing of the hidden
        owners = self.groups[np.nonzero(there)[0]]
        found = learned(self.signals, self.prior[there], labels, owners, model=model, seed=seed)
        probability = np.full(there.shape, np.nan, dtype=np.float32)
        probability[there] = np.where(self.labelled[there], 1, found)
        counts = {
            "positive": int((labels > 0).sum()),
            "negative": int((labels < 0).sum()),
            "model": model,
        }
        return replace(
            self, probability=probability, verdict=said, recipe={**self.recipe, "judgments": counts}
        )

    def frame(self) -> pd.DataFrame:
        """One row per candidate, the most suspicious first, with its signals."""
        import pandas as pd

        there = self.candidates.docs >= 0
        columns = {
            "probability": self.probability[there],
            "prior": self.prior[there],
            "verdict": self.verdict[there],
        }
        whole = pd.concat(
            [self.candidates.frame(), pd.DataFrame(columns), self.signals.frame()], axis=1
        )
        return whole.sort_values("probability", ascending=False, kind="stable", ignore_index=True)

    def save(self, folder: str | Path) -> Path:
        """Write one folder: candidates and signals in folders of their own within it."""
        target = Path(folder)
        files.check_replaceable(target, {*PARTS, files.RECIPE}.__contains__)
        with files.atomic_folder(target) as temporary:
            self.candidates.save(temporary / PARTS[0])
            self.signals.save(temporary / PARTS[1])
            for name in PARTS[2:]:
                array = getattr(self, name.removesuffix(".npy"))
                np.save(temporary / name, array, allow_pickle=False)
            files.write_json(temporary / files.RECIPE, {"record": "Suspicion", **self.recipe})
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Suspicion:
        """Read what `save` wrote.

        Raises:
            BadArgument: no such folder, or something else in it.
            BadData: a part is damaged.
        """
        source = Path(folder)
        recipe = files.read_json(source / files.RECIPE)
        if recipe.pop("record", None) != "Suspicion":
            wanted = "it must hold a Suspicion"
            raise BadArgument("folder", str(source), wanted, "Load it with its own class.")
        try:
            arrays = {
                name.removesuffix(".npy"): np.load(source / name, allow_pickle=False)
                for name in PARTS[2:]
            }
        except (ValueError, OSError, EOFError) as error:
            mend = "Delete it and make it again."
            raise BadData(str(source), [f"missing or damaged: {error}"], mend) from error
        return cls(
            candidates=Candidates.load(source / PARTS[0]),
            signals=Evidence.load(source / PARTS[1]),
            recipe=recipe,
            **arrays,
        )

    def __repr__(self) -> str:
        there = self.candidates.docs >= 0
        likely = int((self.probability[there] > 0.5).sum())
        told = f"{int(there.sum()):,} candidates, {likely:,} more likely positive than not"
        judged = self.recipe.get("judgments")
        how = self.recipe.get("prior", "")
        after = f", {judged['positive'] + judged['negative']:,} judged" if judged else ""
        return f"Suspicion({told}; prior from {how}{after})"


PARTS = (
    "candidates",
    "signals",
    "prior.npy",
    "probability.npy",
    "verdict.npy",
    "labelled.npy",
    "groups.npy",
)


def suspicion(
    candidates: Candidates,
    collection: Collection,
    *,
    guides: Guides,
    scores: Scores | None = None,
    losses: LossStore | None = None,
    known: KnownPositives | None = None,
    verdicts: Verdicts | None = None,
    model: str = "logistic",
    seed: int = 0,
) -> Suspicion:
    """The probability of every mined candidate of being a positive that nobody labelled.

    Useful before any judgment, better with each; see the module's text for the equations. Keep the
    result and call `.judged(verdicts)` after more judgments: signals are not computed again.

    Args:
        candidates: a mined list; the wider the better, 30 is usual.
        collection: the one mined.
        guides: name -> (query, document) vectors of frozen models; several may stand together, and
            the student's own among them.
        scores: name -> further scores of pairs, a cross-encoder's for instance.
        losses: what every labelled pair cost in training.
        known: the known-positive graph, whose pairs are positives for certain; None = that of the
            collection.
        verdicts: what people said.
        model: "logistic" or "boosting", for judgments.
        seed: of what is hidden, of folds.

    Returns:
        The list with probabilities.

    Raises:
        BadArgument: an argument does not fit; said before any work.
        BadData: ids differ, vectors are not finite.

    Example:
        >>> from workbench.audit.toys import toy_audit
        >>> candidates, collection, guides, truth = toy_audit()
        >>> found = suspicion(candidates, collection, guides=guides)
        >>> there = candidates.docs >= 0
        >>> ours, theirs = found.probability[truth].mean(), found.probability[~truth & there].mean()
        >>> bool(ours > 0.6), bool(theirs < 0.2)
        (True, True)

    Breaks when: labels were pooled by one retriever, so that what is hidden is easier to find than
    what was never labelled. Without judgments the order of candidates is better than the
    probabilities' level; a hundred judgments (`draw`) mend the level.
    """
    check_choice("model", model, MODELS)
    check_count("seed", seed, at_least=0, mend="Try 0.")
    check_guides(guides, collection)
    words = Words.of(collection)
    signals = evidence(
        candidates, collection, guides=guides, scores=scores, losses=losses, words=words
    )
    there = candidates.docs >= 0
    graph = KnownPositives.of(collection) if known is None else known
    already = graph.paired(np.arange(len(there)), candidates.docs)
    hidden = None
    fresh = replace(candidates, docs=np.where(already, -1, candidates.docs))
    if np.isin(np.flatnonzero((fresh.docs >= 0).any(axis=1)), collection.pairs[:, 0]).any():
        hidden = hide(
            fresh, collection, guides=guides, scores=scores, losses=losses, seed=seed, words=words
        )
    flat, how = prior_of(signals, hidden, seed=seed)
    prior = np.full(there.shape, np.nan, dtype=np.float32)
    prior[there] = np.where(already[there], 1, flat)
    recipe = {
        "prior": how,
        "hidden": 0 if hidden is None else int(hidden.hidden.sum()),
        "seed": seed,
    }
    found = Suspicion(
        candidates=candidates, signals=signals, prior=prior, probability=prior,
        verdict=already.astype(np.int8), labelled=already,
        groups=np.asarray(collection.query_groups, dtype=np.int64), recipe=recipe,
    )  # fmt: skip
    return found if verdicts is None else found.judged(verdicts, model=model, seed=seed)
