"""What the losses of training say of its pairs: a wrong label, a pair too easy, a pair too hard.

    probability_i = w2 N(x; m2, s2) / (w1 N(x; m1, s1) + w2 N(x; m2, s2)),  x = log of the last loss
    verdict_i     = noisy where m_i <= mu - cut sd, faulty where m_i >= mu + cut sd, else fine

The first is the gate of DLG-LC (`rules.LossGate`) read as a probability, the second the bad pairs
of DBPM (`rules.BadPair`); the same numbers that act in training are shown here beside the pairs.

Source: Han et al. 2022, DLG-LC; Lan et al. 2024, DBPM.
Breaks when: pairs are hard and honest, which no loss can tell from wrong ones; training went on
until wrong labels were learned by heart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData
from workbench.types import Ids, LossStore

if TYPE_CHECKING:
    import pandas as pd

    from workbench.rules.bad_pair import BadPair
    from workbench.rules.loss_gate import Heaps, LossGate

Doubles = NDArray[np.float64]
VERDICTS = ("fine", "noisy", "faulty", "unseen")


def scaled(losses: Doubles, on: str) -> Doubles:
    """Losses on the scale of a gate's fit; a loss of next to nothing stays finite there."""
    from workbench.rules.loss_gate import TINY

    return np.asarray(np.log(np.maximum(losses, TINY)) if on == "log" else losses)


def wrong_probability(losses: Doubles, found: Heaps | None, *, on: str = "log") -> Doubles:
    """Probability that each loss belongs to the upper heap; one half exactly at the gate.

    Beyond the two means it stays what it is there: a wide upper heap would otherwise claim the
    easiest pairs too.

    Args:
        losses: (row,) last losses, NaN for none.
        found: what `rules.heaps` fitted, None where two heaps do not show.
        on: the scale of the fit.

    Returns:
        (row,) in [0, 1], NaN for rows without a loss, and everywhere without heaps.

    Example:
        >>> from workbench.rules.loss_gate import Heaps
        >>> two = Heaps((0.5, 0.5), (-2.0, 2.0), (1.0, 1.0), 0.0)
        >>> wrong_probability(np.exp([-2.0, 0.0, 2.0]), two).round(3).tolist()
        [0.0, 0.5, 1.0]
    """
    if found is None:
        return np.full(len(losses), np.nan)
    x = np.clip(scaled(losses, on), *found.means)
    heights = [
        np.log(weight / std) - 0.5 * ((x - mean) / std) ** 2
        for weight, mean, std in zip(found.weights, found.means, found.stds, strict=True)
    ]
    chances: Doubles = 1 / (1 + np.exp(heights[0] - heights[1]))
    return chances


@dataclass(frozen=True, eq=False, kw_only=True)
class LossNoise:
    """What losses say of every training row.

    Args:
        last: (row,) newest loss, NaN for none.
        past: (row,) mean of past losses as the bad-pair rule takes it, NaN for none.
        probability: (row,) of a wrong label, NaN for no loss or where two heaps do not show.
        gated: (row,) the gate would leave the row out.
        verdict: (row,) fine, noisy (too easy), faulty (stays hard), or unseen (no loss).
        gate: the largest loss kept, in nats; inf where two heaps do not show.
        cuts: past means at which a pair is called noisy and faulty.
    """

    last: Doubles
    past: Doubles
    probability: Doubles
    gated: NDArray[np.bool_]
    verdict: Ids
    gate: float
    cuts: tuple[float, float]

    def counts(self) -> dict[str, int]:
        """Rows of each verdict, and gated ones."""
        found = {name: int((self.verdict == name).sum()) for name in VERDICTS}
        return {**found, "gated": int(self.gated.sum())}

    def frame(self, *, query_ids: Ids | None = None, doc_ids: Ids | None = None) -> pd.DataFrame:
        """One row per training row, the most probably wrong first.

        Args:
            query_ids: (row,) anchor of each row.
            doc_ids: (row,) its labelled positive.

        Raises:
            BadArgument: not one id per row.
        """
        import pandas as pd

        columns: dict[str, NDArray[np.generic]] = {"row": np.arange(len(self.last))}
        for name, ids in (("query_id", query_ids), ("doc_id", doc_ids)):
            if ids is None:
                continue
            if np.shape(ids) != self.last.shape:
                wanted = f"there must be {len(self.last)}, one per training row"
                raise BadArgument(f"{name}s", np.shape(ids), wanted, "Take them in row order.")
            columns[name] = np.asarray(ids)
        columns |= {
            "probability": self.probability,
            "gated": self.gated,
            "verdict": self.verdict,
            "last": self.last,
            "past": self.past,
        }
        worst = np.lexsort((-np.nan_to_num(self.last), -np.nan_to_num(self.probability)))
        return pd.DataFrame(columns).iloc[worst].reset_index(drop=True)

    def __repr__(self) -> str:
        said = ", ".join(f"{count:,} {name}" for name, count in self.counts().items())
        return f"LossNoise({len(self.last):,} rows: {said})"


def loss_noise(
    losses: LossStore, *, gate: LossGate | None = None, bad_pairs: BadPair | None = None
) -> LossNoise:
    """Read the losses of a training as an audit of its pairs.

    Args:
        losses: of every row in every epoch, as `train.fit` keeps them in its history.
        gate: the gate's options; None = `rules.LossGate()`.
        bad_pairs: the cuts; None = `rules.BadPair()`: 2 deviations below, 3 above. On bounded
            losses nothing lies 2 deviations below; `rules.BadPair(lower_quantile=0.05)` looks at
            the easiest 5 % instead.

    Returns:
        A `LossNoise`; its gated rows are those `rules.LossGate` gives weight 0, its noisy and
        faulty rows those `rules.BadPair` trusts less. Before a rule's warmup is over it says
        nothing of any row.

    Raises:
        BadArgument: negative losses under a gate on their log.
        BadData: no row has a loss.

    Example:
        >>> random = np.random.default_rng(0)
        >>> cost = np.exp(np.where(np.arange(200) < 180, -3.0, 1.0) + random.normal(size=200) / 4)
        >>> found = loss_noise(LossStore(values=cost[:, None].astype(np.float32)))
        >>> found.counts()
        {'fine': 193, 'noisy': 0, 'faulty': 7, 'unseen': 0, 'gated': 20}

    Source: see the module.
    Breaks when: see the module; and with one epoch of losses, where luck weighs as much as truth.
    """
    from workbench.rules.bad_pair import BadPair, Population
    from workbench.rules.loss_gate import LossGate, heaps

    gate, bad_pairs = gate or LossGate(), bad_pairs or BadPair()
    last = losses.last()
    unseen = np.isnan(last)
    if unseen.all():
        raise BadData("losses", ["no row has a loss"], "Train for an epoch first.")
    found = None
    if losses.epochs >= gate.warmup:
        found = heaps(last, on=gate.on, seed=gate.seed)
    past, among = losses.mean(), Population(0.0, 0.0, -np.inf, np.inf)
    if losses.epochs >= bad_pairs.warmup:
        past, among = bad_pairs.judge(losses)
    limit = np.inf if found is None else found.gate
    verdict = np.full(len(last), "fine", dtype=object)
    verdict[past <= among.noisy], verdict[past >= among.faulty] = "noisy", "faulty"
    verdict[unseen] = "unseen"
    return LossNoise(
        last=last,
        past=past,
        probability=wrong_probability(last, found, on=gate.on),
        gated=scaled(last, gate.on) > limit,
        verdict=verdict,
        gate=float(np.exp(limit)) if gate.on == "log" else limit,
        cuts=(among.noisy, among.faulty),
    )
