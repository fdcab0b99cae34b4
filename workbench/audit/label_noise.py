"""Which labels are wrong, by probabilities that never saw them: confident learning.

    t_k = mean of P_ik over rows labelled k
    C_ab = rows labelled a whose largest P_ik among those with P_ik >= t_k is at k = b
    Q = C with its rows scaled to the label counts, over n;   p(given | true) = Q_ab / sum_a Q_ab

P is (row, class), from a model that was not fitted on the row; in-sample probabilities repeat the
labels and hide the noise. `pair_noise` asks the same of (query, document) pairs.

Source: Northcutt, Jiang, Chuang 2021, "Confident Learning"; Northcutt, Athalye, Mueller 2021,
"Pervasive Label Errors in Test Sets". Counting, calibration and filters are cleanlab's.
Breaks when: the error is systematic, alike in every fold (the model learns it as truth); classes
overlap, where honest rows near the border are flagged first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_choice, check_count
from workbench.types import Ids, Ints

if TYPE_CHECKING:
    import pandas as pd

Doubles = NDArray[np.float64]
FILTERS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
)


def check_probabilities(
    labels: NDArray[Any], pred_probs: NDArray[np.floating]
) -> tuple[Ints, Doubles]:
    """Labels and probabilities as cleanlab wants them, or a refusal.

    Raises:
        BadArgument: shapes or types that do not fit.
        BadData: rows that are not finite or do not sum to 1; labels outside the columns.
    """
    said, chances = np.asarray(labels), np.asarray(pred_probs, dtype=np.float64)
    if chances.ndim != 2 or chances.shape[1] < 2 or not len(chances):
        wanted = "it must be (row, class) with at least one row and two classes"
        raise BadArgument("pred_probs", chances.shape, wanted, "Use out_of_fold(...).")
    if said.shape != chances.shape[:1] or not np.issubdtype(said.dtype, np.integer):
        wanted = f"it must be {len(chances)} whole numbers, one per row of pred_probs"
        raise BadArgument("labels", said, wanted, "Number the classes from 0.")
    off = ~(np.isfinite(chances).all(axis=1) & (chances >= 0).all(axis=1))
    off |= ~(np.abs(chances.sum(axis=1) - 1) <= 1e-3)
    problems = [f"row {row} is no set of probabilities" for row in np.flatnonzero(off).tolist()]
    outside = np.flatnonzero((said < 0) | (said >= chances.shape[1])).tolist()
    problems += [f"row {row}: no column for label {said[row]}" for row in outside]
    if problems:
        mend = "Give each row probabilities that sum to 1, with a column for each label."
        raise BadData("pred_probs", problems, mend)
    return said.astype(np.int64), chances


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelNoise:
    """How often each class is called what, as `label_noise` estimates it.

    Args:
        thresholds: (class,) t_k.
        counts: (given, true) rows counted with confidence; the diagonal is at least 1.
        joint: (given, true) shares of all rows, summing to 1.
    """

    thresholds: Doubles
    counts: Ints
    joint: Doubles

    @property
    def wrong(self) -> float:
        """Share of labels that are wrong."""
        return float(1 - np.trace(self.joint))

    @property
    def given_for_true(self) -> Doubles:
        """(given, true) probability of a label where a class is true; columns sum to 1."""
        total = self.joint.sum(axis=0, keepdims=True)
        shares: Doubles = self.joint / np.maximum(total, 1e-300)
        return shares

    @property
    def true_for_given(self) -> Doubles:
        """(given, true) probability of a class where a label was said; rows sum to 1."""
        total = self.joint.sum(axis=1, keepdims=True)
        shares: Doubles = self.joint / np.maximum(total, 1e-300)
        return shares


def label_noise(labels: NDArray[Any], pred_probs: NDArray[np.floating]) -> LabelNoise:
    """Estimate which class is called what, without saying of any row that it is wrong.

    Args:
        labels: (row,) given classes, 0..K-1.
        pred_probs: (row, class) probabilities out of fold.

    Returns:
        Thresholds, confident counts, joint distribution of given and true label.

    Raises:
        BadArgument: shapes or types that do not fit.
        BadData: rows that are no probabilities, labels without a column.

    Example:
        >>> sure = np.array([[0.9, 0.1]] * 6 + [[0.1, 0.9]] * 2)
        >>> found = label_noise(np.array([0] * 5 + [1] * 3), sure)
        >>> round(found.wrong, 3), found.true_for_given.round(2).tolist()
        (0.125, [[1.0, 0.0], [0.33, 0.67]])

    Breaks when: few rows (cleanlab rounds calibrated counts to whole numbers).
    """
    from cleanlab import count

    said, chances = check_probabilities(labels, pred_probs)
    thresholds = count.get_confident_thresholds(said, chances)
    counts = count.compute_confident_joint(said, chances, calibrate=False)
    joint = count.estimate_joint(said, chances)
    return LabelNoise(
        thresholds=np.asarray(thresholds, dtype=np.float64),
        counts=np.asarray(counts, dtype=np.int64),
        joint=np.asarray(joint, dtype=np.float64),
    )


def label_issues(
    labels: NDArray[Any],
    pred_probs: NDArray[np.floating],
    *,
    ids: Ids | None = None,
    filter_by: str = "prune_by_noise_rate",
) -> pd.DataFrame:
    """Every row, the most suspicious label first.

        score_i = (P_i,given - max of the others + 1) / 2

    Args:
        labels: (row,) given classes, 0..K-1.
        pred_probs: (row, class) probabilities out of fold, see `out_of_fold`.
        ids: (row,) names of the rows; None = their numbers.
        filter_by: how rows are called an issue. "prune_by_noise_rate" flags n Q_ab rows of each
            (given a, true b); "prune_by_class" n (sum_b Q_ab - Q_aa) of each given class; "both"
            what these two agree on; "confident_learning" all of C off its diagonal;
            "predicted_neq_given" whatever a plain argmax disputes.

    Returns:
        Columns id, given, suggested, probability (of the given label), score in [0, 1] (low is
        suspicious), issue.

    Raises:
        BadArgument: shapes or types that do not fit, an unknown filter.
        BadData: rows that are no probabilities, labels without a column.

    Example:
        >>> sure = np.array([[0.9, 0.1]] * 6 + [[0.1, 0.9]] * 2)
        >>> label_issues(np.array([0] * 5 + [1] * 3), sure).head(1).round(3).values.tolist()
        [[5, 1, 0, 0.1, 0.1, True]]

    Breaks when: probabilities were made on the very rows, which hides every wrong label.
    """
    import pandas as pd
    from cleanlab import filter as cleanlab_filter
    from cleanlab import rank

    check_choice("filter_by", filter_by, FILTERS)
    said, chances = check_probabilities(labels, pred_probs)
    names = np.arange(len(said)) if ids is None else np.asarray(ids)
    if names.shape != said.shape:
        wanted = f"there must be {len(said)}, one per row"
        raise BadArgument("ids", names.shape, wanted, "Leave it out for row numbers.")
    found = cleanlab_filter.find_label_issues(said, chances, filter_by=filter_by, n_jobs=1)
    score = rank.get_label_quality_scores(said, chances, method="normalized_margin")
    order = np.argsort(score, kind="stable")
    frame = pd.DataFrame(
        {
            "id": names,
            "given": said,
            "suggested": chances.argmax(axis=1),
            "probability": chances[np.arange(len(said)), said],
            "score": np.asarray(score, dtype=np.float64),
            "issue": np.asarray(found, dtype=np.bool_),
        }
    )
    return frame.iloc[order].reset_index(drop=True)


def out_of_fold(
    features: NDArray[np.floating],
    labels: NDArray[Any],
    *,
    groups: NDArray[Any] | None = None,
    classifier: Any = None,
    folds: int = 5,
    seed: int = 0,
) -> Doubles:
    """Probabilities of each row from a classifier that saw neither it nor its group.

    Args:
        features: (row, feature), finite.
        labels: (row,) classes 0..K-1.
        groups: (row,) rows with one number stay in one fold: the query of a pair; None = each its
            own.
        classifier: an unfitted scikit-learn one with `predict_proba`; None = logistic regression
            on standardised features.
        folds: how many; usual 5 to 10.
        seed: of the folds.

    Returns:
        (row, class).

    Raises:
        BadArgument: shapes that do not fit, a classifier without probabilities.
        BadData: a value that is not finite; a class that some fold would have to learn from
            nothing.

    Example:
        >>> heights = np.array([[1.0], [1.1], [1.2], [3.0], [3.1], [3.2]])
        >>> tall = out_of_fold(heights, np.array([0, 0, 0, 1, 1, 1]), folds=3)
        >>> (tall.argmax(axis=1)).tolist()
        [0, 0, 0, 1, 1, 1]

    Breaks when: copies of a row stand in another group, so that it is learned after all.
    """
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from tqdm.auto import tqdm

    columns, said, tied = _rows(features, labels, groups)
    check_count("folds", folds, at_least=2, mend="Try 5.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    if classifier is None:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    elif isinstance(classifier, type) or not callable(getattr(classifier, "predict_proba", None)):
        wanted = "it must be a scikit-learn classifier with predict_proba"
        raise BadArgument("classifier", classifier, wanted, "Try LogisticRegression().")
    chances = np.zeros((len(said), int(said.max()) + 1))
    splits = _splits(said, tied, folds, seed)
    for learn, ask in tqdm(splits, desc="out of fold", unit="fold", disable=None, delay=2):
        fitted = clone(classifier).fit(columns[learn], said[learn])
        chances[ask] = fitted.predict_proba(columns[ask])
    return chances


def _rows(
    features: NDArray[np.floating], labels: NDArray[Any], groups: NDArray[Any] | None
) -> tuple[Doubles, Ints, Ints]:
    columns, said = np.asarray(features, dtype=np.float64), np.asarray(labels)
    if columns.ndim != 2 or not columns.size:
        wanted = "it must be (row, feature) with at least one of each"
        raise BadArgument("features", columns.shape, wanted, "Stack scores as columns.")
    broken = np.flatnonzero(~np.isfinite(columns).all(axis=1)).tolist()
    if broken:
        problems = [f"row {row} holds NaN or infinity" for row in broken]
        raise BadData("features", problems, "Fill what is missing, e.g. with the column's mean.")
    tied = np.arange(len(columns)) if groups is None else np.asarray(groups)
    for name, given in (("labels", said), ("groups", tied)):
        if given.shape != columns.shape[:1] or not np.issubdtype(given.dtype, np.integer):
            wanted = f"it must be {len(columns)} whole numbers, one per row of features"
            raise BadArgument(name, given, wanted, "Number them from 0.")
    if said.min() < 0:
        raise BadArgument("labels", int(said.min()), "it must be >= 0", "Number them from 0.")
    return columns, said.astype(np.int64), tied.astype(np.int64)


def _splits(labels: Ints, groups: Ints, folds: int, seed: int) -> list[tuple[Ints, Ints]]:
    """(rows to learn from, rows to ask about), every class among what is learned from."""
    from sklearn.model_selection import StratifiedGroupKFold

    kinds = np.arange(int(labels.max()) + 1)
    spans = np.bincount(np.unique(np.stack([labels, groups]), axis=1)[0], minlength=len(kinds))
    few = np.flatnonzero(spans < folds).tolist()
    problems = [f"class {kind} stands in {spans[kind]} of them" for kind in few]
    if len(kinds) < 2:
        problems = ["there is one class only"]
    if problems:
        mend = f"Each class must stand in at least folds={folds} groups (queries); lower folds."
        raise BadData("the groups of labels", problems, mend)
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    splits = [(learn, ask) for learn, ask in cut.split(labels[:, None], labels, groups)]
    if any(len(np.unique(labels[learn])) < len(kinds) for learn, _ in splits):
        wanted = "some fold would hold all of a class"
        raise BadArgument("folds", folds, wanted, "Try another number, or another seed.")
    return splits
