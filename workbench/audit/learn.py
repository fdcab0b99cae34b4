"""From signals to the probability of being a hidden positive, with judgments and without.

The equations stand in `workbench.audit.suspicion`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.audit.evidence import Evidence
from workbench.audit.hide import FEW, Hidden
from workbench.types import Floats, Ints

Doubles = NDArray[np.float64]
MODELS = ("logistic", "boosting")
STRENGTH = 100.0
"""Judgments that the label-free probability is worth, spread over all candidates."""
FOLDS = 5
SAMPLE, FEWER = 100_000, 20_000
"""Candidates without a judgment that the first fit looks at, at most; those after judgments."""
PENALTY, TRUST = 0.3, 3.0
"""1 / strength of the penalty on weights; how much less the prior's own weight is penalised."""
TOP = 0.9
"""Which percentile of hidden labels' scores stands for a certain positive."""
AGREE, STEEP, RATE = ("company", "company_neighbour", "company_outlier"), 2.0, 0.05
"""Signals that agree on a prior, how steeply, and the share of positives without a better guess."""
COPY = 0.8
"""Jaccard similarity from which a document is a near copy of another."""


def prior_of(signals: Evidence, hidden: Hidden | None, *, seed: int = 0) -> tuple[Floats, str]:
    """(pair,) probability before any judgment, and where it comes from.

    Args:
        signals: of all candidates.
        hidden: labels hidden among them; None or too few, and only the rules agree.
        seed: of the sample that is looked at.
    """
    if not len(signals):
        return np.empty(0, dtype=np.float32), "nothing"
    if hidden is None or int(hidden.hidden.sum()) < FEW:
        found, how = agreement(signals, RATE), "the agreement of rules"
    else:
        use, target = hidden.view, hidden.hidden.astype(np.float64)
        model = _fitted(hidden.values[:, use], target, np.ones(len(target)), "logistic", seed)
        top = float(np.quantile(_asked(model, hidden.values[hidden.hidden][:, use]), TOP))
        some = np.random.default_rng(seed).permutation(len(signals))[:SAMPLE]
        soft = np.minimum(_asked(model, signals.values[some][:, use]) / top, 1.0)
        if (signals.kinds()[use] == "text").all():
            found = agreement(signals, float(soft.mean()))
            how = "the agreement of rules; their number from labels hidden"
        else:
            whole = _fitted(signals.values[some], soft, np.ones(len(some)), "logistic", seed)
            kind = "the only label" if hidden.alone else "one of several labels"
            found, how = _asked(whole, signals.values), f"{kind} hidden per query"
    return _sure_copies(signals, found), how


def agreement(signals: Evidence, rate: float) -> Doubles:
    """(pair,) what the signals that look at labels agree on, each with the same say.

        p = 1 / (1 + exp(-a - 2 v)),  v = mean of z-scores,  a such that the mean of p is `rate`

    The signals are every guide's `company`, `company_neighbour` and `company_outlier`. Equal
    weights on these three rank nearly as well as the best single signal on every collection we
    have, and which single one is best differs from one to the next.

    Args:
        signals: of all candidates.
        rate: share of candidates that is believed to be positive, in (0, 1).
    """
    from scipy.optimize import brentq
    from scipy.special import expit

    names = [str(name).rsplit(".", 1)[-1] for name in signals.names]
    chosen = signals.values[:, [place for place, end in enumerate(names) if end in AGREE]]
    centre = np.nan_to_num(np.nanmean(_filled(chosen), axis=0))
    spread = np.maximum(np.nan_to_num(np.nanstd(_filled(chosen), axis=0)), 1e-6)
    standard = (chosen - centre) / spread
    told = ~np.isnan(standard)
    votes = np.where(told, standard, 0).sum(axis=1) / np.maximum(told.sum(axis=1), 1)
    rate = min(max(rate, 1e-4), 1 - 1e-4)
    shift = brentq(lambda a: float(expit(a + STEEP * votes).mean()) - rate, -60.0, 60.0)
    return np.asarray(expit(shift + STEEP * votes), dtype=np.float64)


def _filled(values: Floats) -> Floats:
    """Columns of nothing but unknowns made 0, which numpy would warn about."""
    return np.where(np.isnan(values).all(axis=0), np.float32(0), values)


def _sure_copies(signals: Evidence, found: Doubles) -> Floats:
    """A near copy of a labelled answer is an answer: at least .98, in the old order."""
    if "copy" in signals.names.tolist():
        found = np.where(signals.column("copy") >= COPY, 0.98 + 0.02 * found, found)
    return np.clip(found, 1e-6, 1 - 1e-6).astype(np.float32)


def _with_prior(values: Floats, prior: Floats) -> Floats:
    inside = np.clip(prior.astype(np.float64), 1e-6, 1 - 1e-6)
    logit = np.log(inside / (1 - inside)).astype(np.float32)
    return np.concatenate([logit[:, None], values], axis=1)


def learned(
    signals: Evidence,
    prior: Floats,
    labels: NDArray[np.int8],
    queries: Ints,
    *,
    model: str = "logistic",
    seed: int = 0,
) -> Floats:
    """(pair,) probability; that of a judged pair comes from the judgments of other queries.

    Args:
        signals: of all candidates.
        prior: (pair,) probability without judgments.
        labels: (pair,) +1 judged positive, -1 judged negative, 0 not judged.
        queries: (pair,) positions of queries.
        model: one of `MODELS`.
        seed: of folds, of the sample that stands for the prior, of boosting.
    """
    values = _with_prior(signals.values, prior)
    judged = np.flatnonzero(labels)
    if not len(judged):
        return prior
    rng = np.random.default_rng([seed, 7])
    some = rng.permutation(len(values))[:FEWER]
    weak = np.full(len(some), STRENGTH / len(some))

    def fit(rows: Ints) -> Any:
        target = np.r_[prior[some].astype(np.float64), (labels[rows] > 0).astype(np.float64)]
        weight = np.r_[weak, np.ones(len(rows))]
        both = np.concatenate([values[some], values[rows]])
        return _fitted(both, target, weight, model, seed, trusted=True)

    found = _asked(fit(judged), values).astype(np.float32)
    owners, inverse = np.unique(queries[judged], return_inverse=True)
    fold = rng.integers(0, FOLDS, len(owners))[inverse] if len(owners) >= FOLDS else inverse
    for one in np.unique(fold):
        inside = judged[fold == one]
        found[inside] = _asked(fit(judged[fold != one]), values[inside])
    return found


def _fitted(
    values: Floats,
    target: Doubles,
    weight: Doubles,
    model: str,
    seed: int,
    *,
    trusted: bool = False,
) -> Any:
    """A classifier of soft labels.

    A row counts as a positive of weight `target * weight` and as a negative of weight
    `(1 - target) * weight`.

    Args:
        values: (row, signal), NaN where unknown; the median stands in.
        target: (row,) in [0, 1].
        weight: (row,) >= 0.
        model: one of `MODELS`.
        seed: of boosting.
        trusted: the first signal is the prior's own logit, penalised less.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    shares = np.concatenate([target * weight, (1 - target) * weight])
    labels = np.repeat([1, 0], len(values))
    rows = np.flatnonzero(shares > 0)
    steps: list[tuple[str, Any]] = [
        ("fill", SimpleImputer(strategy="median", keep_empty_features=True))
    ]
    if model == "logistic":
        factor = np.ones(values.shape[1])
        factor[0] = TRUST if trusted else 1.0
        steps += [
            ("scale", StandardScaler()),
            ("trust", FunctionTransformer(_times, kw_args={"factor": factor})),
            ("model", LogisticRegression(C=PENALTY if trusted else 1.0, max_iter=1000)),
        ]
    else:
        boosting = HistGradientBoostingClassifier(
            max_depth=3, max_iter=100, learning_rate=0.1, early_stopping=False, random_state=seed
        )
        steps += [("model", boosting)]
    made = Pipeline(steps)
    made.fit(values[rows % len(values)], labels[rows], model__sample_weight=shares[rows])
    return made


def _times(values: Floats, factor: Doubles) -> Floats:
    return np.asarray(values * factor, dtype=np.float32)


def _asked(model: Any, values: Floats) -> Doubles:
    return np.asarray(model.predict_proba(values)[:, 1], dtype=np.float64)
