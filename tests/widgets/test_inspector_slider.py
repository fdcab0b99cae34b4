"""What rules drop at each setting, beside rules applied one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from inspector_toys import QUERIES, toy_guide

from workbench.audit import JudgedSample, compare_rules
from workbench.errors import BadArgument
from workbench.mine import apply_rules
from workbench.rules import Guide, Judged, Margin, RankWindow, Scored, ShareOfPositive
from workbench.types import Verdicts
from workbench.widgets.slider import ALL, EARLIER, Slider


@pytest.fixture(scope="module")
def guide(collection):
    return toy_guide(collection)


RULES = [RankWindow(first=2), ShareOfPositive(share=0.9)]


@pytest.mark.parametrize("value", [-0.3, 0.0, 0.2, 0.9])
def test_counts_are_those_of_rules_applied_one_by_one(candidates, collection, guide, value):
    slider = Slider(
        candidates, collection, vary=(Guide(margin=0.1), "margin"), rules=RULES, guide=guide
    )
    frame = slider.at(value).set_index("rule")
    assert list(frame.index) == ["Guide (margin moves)", *map(repr, RULES), ALL]
    acting = [Guide(margin=value), *RULES]
    there = candidates.docs >= 0
    masks = [
        there & (apply_rules(candidates, [rule], collection=collection, guide=guide).weight <= 0)
        for rule in acting
    ]
    counts = np.sum(masks, axis=0)
    told = frame.loc[list(frame.index[:3])]
    assert told["dropped"].tolist() == [int(mask.sum()) for mask in masks]
    assert told["only_this"].tolist() == [int((mask & (counts == 1)).sum()) for mask in masks]
    whole = apply_rules(candidates, acting, collection=collection, guide=guide)
    assert frame.loc[ALL, "dropped"] == int((there & (whole.weight <= 0)).sum())
    assert frame["share"].tolist() == pytest.approx((frame["dropped"] / there.sum()).tolist())
    assert frame[["precision", "recall_low"]].isna().all(axis=None)


def test_only_counted_candidates_count_and_earlier_drops_are_a_rule(candidates, collection):
    weight = candidates.weight.copy()
    weight[1, :2] = 0
    counted = np.ones(candidates.docs.shape, dtype=bool)
    counted[0] = False
    slider = Slider(
        replace(candidates, weight=weight), collection, rules=[RankWindow(first=2)], counted=counted
    )
    frame = slider.at(None).set_index("rule")
    first = repr(RankWindow(first=2))
    assert frame.loc[EARLIER, ["dropped", "only_this"]].tolist() == [2, 1]
    assert frame.loc[first, ["dropped", "only_this"]].tolist() == [QUERIES - 1, QUERIES - 2]
    assert frame.loc[ALL, "dropped"] == QUERIES
    assert slider.names == [EARLIER, first]


def test_right_and_wrong_are_those_of_compare_rules(candidates, collection):
    rng = np.random.default_rng(0)
    sample = JudgedSample.hidden(candidates, rng.random(candidates.docs.shape) < 0.3)
    weighed = replace(sample, weight=rng.random(len(sample)) + 0.5)
    slider = Slider(candidates, collection, vary=(Margin(), "margin"), rules=RULES)
    frame = slider.at(0.1, weighed)
    ruled = {
        name: apply_rules(candidates, rules, collection=collection)
        for name, rules in (
            ("a", [Margin(margin=0.1)]), ("b", RULES[:1]), ("c", RULES[1:]),
            ("d", [Margin(margin=0.1), *RULES]),
        )
    }  # fmt: skip
    expected = compare_rules(weighed, ruled)
    for column in ("precision", "precision_low", "precision_high", "recall", "recall_low"):
        np.testing.assert_allclose(frame[column], expected[column])
    assert frame["precision"].between(frame["precision_low"], frame["precision_high"]).all()


def test_a_rule_that_vouches_keeps_against_all(candidates, collection):
    pair = (candidates.query_ids[1], candidates.doc_ids[candidates.docs[1, 0]])
    said = Verdicts.of([(*pair, "negative")], judge="me")
    rules = [RankWindow(first=2), Judged()]
    slider = Slider(candidates, collection, rules=rules, verdicts=said)
    whole = apply_rules(candidates, rules, collection=collection, verdicts=said)
    dropped = int(((candidates.docs >= 0) & (whole.weight <= 0)).sum())
    frame = slider.at(None).set_index("rule")
    assert frame.loc[ALL, "dropped"] == dropped == frame.loc[repr(rules[0]), "dropped"] - 1


def test_further_numbers_are_asked_by_name(candidates, collection):
    values = np.where(candidates.docs >= 0, candidates.ranks / 10, np.nan).astype(np.float32)
    slider = Slider(
        candidates, collection, vary=(Scored(fact="mine", at_most=0.2), "at_most"),
        numbers={"mine": values},
    )  # fmt: skip
    assert slider.at(0.25)["dropped"].iloc[0] == int((values > 0.25).sum())
    assert slider.values.min() == 0
    assert slider.values.max() == 1


def test_settings_hold_the_rules_own_and_those_given(candidates, collection, guide):
    slider = Slider(candidates, collection, vary=(Margin(margin=0.123), "margin"))
    assert 0.123 in slider.values.tolist()
    assert (np.diff(slider.values) > 0).all()
    assert slider.start == 0.123
    given = Slider(candidates, collection, vary=(Guide(), "margin", [0.1, 0.3]), guide=guide)
    assert given.values.tolist() == [0.0, 0.1, 0.3]
    assert repr(given).startswith("Slider(margin of Guide(margin=0.0")


def test_what_is_refused(candidates, collection, guide):
    for given, match in (
        ({}, r"`rules` is \[\], but there must be a rule"),
        ({"vary": Margin()}, r"`slider` is Margin\(margin=0.05\), but it must be \(rule, option\)"),
        ({"vary": (3, "margin")}, "`slider` is 3, but its first part must be a rule"),
        ({"vary": (Margin(), "margn")}, "`slider` is 'margn', .*Did you mean 'margin'"),
        ({"vary": (Scored(margin=0.1), "at_most")}, "`at_most` is None, but it must be a finite"),
        ({"vary": (Margin(), "margin", [0.1])}, "its third part must be two finite numbers"),
        ({"vary": (Margin(), "margin", [0, float("inf")])}, "its third part must be two finite"),
        ({"vary": (Guide(), "margin")}, "it needs guide, which was not given"),
        ({"vary": (Guide(), "margin", [0, 5]), "guide": guide}, "`margin` is 5.0, .* <= 2"),
    ):
        with pytest.raises(BadArgument, match=match):
            Slider(candidates, collection, **given)
    slider = Slider(candidates, collection, rules=[RankWindow(first=2)])
    with pytest.raises(BadArgument, match="`slider` is None, but no rule moves"):
        slider.rule_at(0.1)
    slider = Slider(candidates, collection, vary=(Margin(), "margin"))
    with pytest.raises(BadArgument, match="`margin` is nan, but it must be a finite number"):
        slider.at(float("nan"))
