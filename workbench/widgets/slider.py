"""What each rule drops of a mined list at each setting of one option, and how right it is.

    dropped     candidates that the rule drops, taken alone
    only_this   those that no other rule drops
    precision   share of false negatives among what it drops, on judged pairs
    recall      share of the false negatives that it drops, on judged pairs

Facts are made once (`mine.WhatIf`); a new setting is arithmetic on arrays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.audit import JudgedSample, compare_rules
from workbench.errors import BadArgument, check_choice, check_number
from workbench.mine import WhatIf
from workbench.types import Candidates, Collection, Floats, Vectors, Verdicts

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array

    from workbench.rules import Rule

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
STEPS = 100
ALL, EARLIER = "all together", "dropped earlier"


class Slider:
    """One rule whose option moves, beside others that stay.

    Args:
        candidates: the mined list. What has weight 0 in it already is a rule of its own,
            "dropped earlier".
        collection: the one mined.
        vary: the rule that moves, its option, and where wanted the values it may take; None = no
            rule moves.
        rules: that act beside it.
        guide: (query, document) vectors for rules that ask a guide.
        verdicts: for rules that ask what was judged.
        numbers: name -> (query, rank) further numbers, for rules that ask by that name.
        counted: (query, rank) the candidates that count; None = all there are.

    Raises:
        BadArgument: no rule, an unknown option, one that is no number, values that are not finite
            or that the rule refuses, a rule that lacks a fact.

    Example:
        >>> from workbench.audit.toys import toy_audit
        >>> from workbench.rules import Margin
        >>> candidates, collection, guides, truth = toy_audit(facts=8, k=5)
        >>> slider = Slider(candidates, collection, vary=(Margin(margin=0.0), "margin"))
        >>> sample = JudgedSample.hidden(candidates, truth)
        >>> slider.at(0.0, sample)[["dropped", "precision"]].round(2).to_numpy().tolist()
        [[104.0, 0.92], [104.0, 0.92]]

    Breaks when: the list is too short for the setting: what a margin drops beyond it is not seen.
    """

    def __init__(
        self,
        candidates: Candidates,
        collection: Collection,
        *,
        vary: tuple[Rule, str] | tuple[Rule, str, Sequence[float]] | None = None,
        rules: Sequence[Rule] = (),
        guide: tuple[Vectors, Vectors] | None = None,
        verdicts: Verdicts | None = None,
        numbers: dict[str, Floats] | None = None,
        counted: Bools | None = None,
    ) -> None:
        self.rules = list(rules)
        self._base, self.option, given = _checked(vary)
        there = candidates.docs >= 0
        self._counted = there if counted is None else counted & there
        self._earlier = self._counted & (candidates.weight <= 0)
        self.candidates = dataclasses.replace(candidates, weight=there.astype(np.float32))
        self._what_if = WhatIf(
            self.candidates,
            collection=collection,
            guide=guide,
            verdicts=verdicts,
            scores=_tables(self.candidates, numbers or {}) or None,
        )
        self.start = None if self._base is None else float(getattr(self._base, self.option))
        self.values = np.zeros(0) if self._base is None else self._steps(given)
        for value in self.values[[0, -1]] if len(self.values) else ():
            self.rule_at(float(value))
        self._last: tuple[float | None, dict[str, Bools]] | None = None
        self._right: tuple[JudgedSample, dict[str, dict[str, Any]]] | None = None
        acting = [*self.rules, *([] if self._base is None else [self._base])]
        if not acting:
            raise BadArgument("rules", [], "there must be a rule", "Try rules=[Margin()].")
        self._what_if(acting)  # every fact is made now, and a missing one said

    @property
    def moving(self) -> str:
        """What the rule that moves is called, whatever its setting."""
        return f"{type(self._base).__name__} ({self.option} moves)"

    @property
    def names(self) -> list[str]:
        """The rules as `at` names them, without all together."""
        return [*([] if self._base is None else [self.moving]), *self.fixed]

    def rule_at(self, value: float) -> Rule:
        """The rule that moves, at one setting.

        Raises:
            BadArgument: no rule moves, or the rule refuses the value.
        """
        if self._base is None:
            raise BadArgument("slider", None, "no rule moves", "Pass slider=(rule, option).")
        check_number(self.option, value, mend="Try the rule's own.")
        moved: Rule = dataclasses.replace(self._base, **{self.option: float(value)})
        return moved

    def dropped(self, rule: Rule) -> Bools:
        """(query, rank) the counted candidates that a rule drops, taken alone."""
        return (self._what_if([rule]).weight <= 0) & self._counted

    @cached_property
    def fixed(self) -> dict[str, Bools]:
        """Rule -> (query, rank) what it drops, of the rules that stay."""
        masks = {EARLIER: self._earlier} if self._earlier.any() else {}
        return masks | {repr(rule): self.dropped(rule) for rule in self.rules}

    @cached_property
    def _often(self) -> NDArray[np.uint8]:
        """(query, rank) how many of the rules that stay drop it."""
        count = np.zeros(self._counted.shape, dtype=np.uint8)
        for mask in self.fixed.values():
            count += mask
        return count

    def masks(self, value: float | None) -> dict[str, Bools]:
        """Rule -> (query, rank) what it drops: the one that moves, those that stay, and all.

        Args:
            value: the setting; None where no rule moves.
        """
        if self._last is not None and self._last[0] == value:
            return self._last[1]
        moved = {} if value is None else {self.moving: self.dropped(self.rule_at(value))}
        from workbench.rules import Vouch

        whole = self._often > 0
        for mask in moved.values():
            whole = whole | mask
        acting = [*self.rules, *([] if value is None else [self.rule_at(value)])]
        if any(isinstance(rule, Vouch) for rule in acting):
            whole = self._earlier | ((self._what_if(acting).weight <= 0) & self._counted)
        found = {**moved, **self.fixed, ALL: whole}
        self._last = value, found
        return found

    def at(self, value: float | None, sample: JudgedSample | None = None) -> pd.DataFrame:
        """What every rule drops at one setting.

        Args:
            value: of the option that moves; None where none does.
            sample: judged pairs of the list; without them nothing is said of right and wrong.

        Returns:
            One row per rule, the moving one first and all together last: `rule`, `dropped`,
            `share` of the counted candidates, `only_this`, and `precision`, `recall` with `_low`
            and `_high` (95 %, two-sided), NaN where nothing is known.

        Raises:
            BadArgument: a value the rule refuses.
        """
        import pandas as pd

        masks = self.masks(value)
        found = max(1, int(np.count_nonzero(self._counted)))
        moving = None if value is None else next(iter(masks.values()))
        rows: list[dict[str, object]] = []
        for name, mask in masks.items():
            dropped = int(np.count_nonzero(mask))
            only = dropped if name == ALL else self._alone(name, mask, moving)
            rows.append({"rule": name, "dropped": dropped, "share": dropped / found})
            rows[-1] |= {"only_this": only}
        frame = pd.DataFrame(rows)
        columns = [
            f"{key}{end}" for key in ("precision", "recall") for end in ("", "_low", "_high")
        ]
        if sample is None:
            return frame.assign(**dict.fromkeys(columns, np.nan))
        if self._right is None or self._right[0] is not sample:
            self._right = sample, _right(sample, self.fixed)
        fixed = self._right[1]
        moved = _right(sample, {name: mask for name, mask in masks.items() if name not in fixed})
        right = pd.DataFrame([{**moved, **fixed}[name] for name in masks])[columns]
        return pd.concat([frame, right], axis=1)

    def _alone(self, name: str, mask: Bools, moving: Bools | None) -> int:
        """How many of a mask no other rule drops."""
        if moving is None:
            return int(np.count_nonzero(mask & (self._often == 1)))
        if name not in self.fixed or mask is moving:
            return int(np.count_nonzero(mask & (self._often == 0)))
        return int(np.count_nonzero(mask & (self._often == 1) & ~moving))

    def _steps(self, given: Sequence[float] | None) -> Doubles:
        """The settings on offer, rising, the rule's own among them."""
        assert self.start is not None
        if given is not None:
            values = np.asarray(given, dtype=np.float64)
            if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
                wanted = "its third part must be two finite numbers or more"
                raise BadArgument("slider", given, wanted, "Try np.linspace(0, 0.2, 41).")
        else:
            low, high = self._range()
            values = np.round(np.linspace(low, high, STEPS + 1), 4)
        return np.union1d(values, [self.start])

    def _range(self) -> tuple[float, float]:
        assert self._base is not None
        assert self.start is not None
        if self.option == "share":
            return 0.5, 1.2
        if self.option == "margin":
            if any(need.startswith("guide") for need in self._base.needs):
                return -0.5, 0.5
            gaps = np.abs(self.candidates.scores - self.candidates.positive_scores[:, None])
            gaps = gaps[self._counted & np.isfinite(gaps)]
            wide = float(np.quantile(gaps, 0.9)) if len(gaps) else 0.5
            return -max(wide, 1e-3), max(wide, 1e-3)
        if 0 <= self.start <= 1:
            return 0.0, 1.0
        return self.start - abs(self.start), self.start + abs(self.start)

    def __repr__(self) -> str:
        moves = "nothing moves" if self._base is None else f"{self.option} of {self._base!r} moves"
        return f"Slider({moves}, {len(self.rules)} rules beside it)"


def _checked(vary: Any) -> tuple[Any, str, Sequence[float] | None]:
    """The rule that moves, its option, and the values given."""
    if vary is None:
        return None, "", None
    mend = 'Write slider=(rules.Margin(), "margin").'
    if not isinstance(vary, tuple) or len(vary) not in (2, 3):
        wanted = "it must be (rule, option) or (rule, option, values)"
        raise BadArgument("slider", vary, wanted, mend)
    rule, option = vary[:2]
    if not dataclasses.is_dataclass(rule) or isinstance(rule, type):
        raise BadArgument("slider", rule, "its first part must be a rule with options", mend)
    check_choice("slider", option, [field.name for field in dataclasses.fields(rule)])
    check_number(option, getattr(rule, option), mend="Give the rule a number to start from.")
    return rule, option, vary[2] if len(vary) == 3 else None


def _tables(candidates: Candidates, numbers: dict[str, Floats]) -> dict[str, csr_array]:
    """Name -> (query, doc) sparse table of (query, rank) numbers."""
    from scipy import sparse

    shape = (len(candidates.query_ids), len(candidates.doc_ids))
    tables = {}
    for name, values in numbers.items():
        known = (candidates.docs >= 0) & ~np.isnan(values)
        cells = (np.nonzero(known)[0], candidates.docs[known])
        tables[name] = sparse.coo_array((values[known], cells), shape=shape).tocsr()
    return tables


def _right(sample: JudgedSample, masks: dict[str, Bools]) -> dict[str, dict[str, Any]]:
    """Rule -> `compare_rules` of what it drops, by column."""
    if not masks:
        return {}
    ruled = {name: _judged_only(sample, mask) for name, mask in masks.items()}
    alone = dataclasses.replace(
        sample,
        rows=np.arange(len(sample), dtype=np.int64),
        columns=np.zeros(len(sample), dtype=np.int64),
    )
    rows = compare_rules(alone, ruled).to_dict("records")
    return {str(row["rule"]): {str(key): one for key, one in row.items()} for row in rows}


def _judged_only(sample: JudgedSample, mask: Bools) -> Candidates:
    """A list of the judged pairs alone, one a row, with weight 0 where the mask drops."""
    kept = (~mask[sample.rows, sample.columns]).astype(np.float32)[:, None]
    count = len(sample)
    ids = np.arange(count).astype(str).astype(object)
    return Candidates(
        query_ids=ids, doc_ids=ids, docs=np.arange(count, dtype=np.int64)[:, None],
        scores=kept, ranks=np.ones((count, 1), dtype=np.int32), weight=kept,
        positive_scores=np.zeros(count, dtype=np.float32), miner="judged",
    )  # fmt: skip
