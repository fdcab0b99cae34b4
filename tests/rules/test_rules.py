"""Laws that every registered rule obeys, gold thresholds, and wording."""

import json

import pytest
import torch

from workbench import rules
from workbench.errors import BadArgument
from workbench.registry import get, names, table
from workbench.scores import Cells

OPTIONS = {
    "adaptive": [{}, {"sigmas": 0.5, "top": 3, "by": "score"}, {"sigmas": -1.0, "top": 2}],
    "debiased": [{}, {"prior": 0.5, "temperature": 0.5}, {"by": "guide", "temperature": 1.0}],
    "guide": [{}, {"margin": 0.1}, {"margin": -0.1}, {"margin": 0.1, "relative": True}],
    "judged": [{}],
    "known_positive": [{}],
    "margin": [{}, {"margin": 0.5}, {"margin": -0.1}],
    "positive_neighbour": [{}, {"threshold": 0.2}],
    "posterior": [{}, {"flip": 0.6, "temperature": 0.5, "bias": -2.0, "by": "guide"}],
    "propensity": [{}, {"temperature": 0.1}, {"fact": "cross_encoder"}],
    "rank_window": [{"first": 2}, {"first": 2, "last": 3}],
    "same_group": [{}],
    "scored": [
        {"at_most": 0.2},
        {"margin": 0.1, "relative": True},
        {"fact": "selection", "at_most": 0.0},
    ],
    "share_of_positive": [{}, {"share": 0.5, "by": "guide"}],
    "threshold": [{"at_most": 0.3}, {"at_least": -0.3, "at_most": 0.5}],
}
EVERY = [(name, options) for name, many in OPTIONS.items() for options in many]


def make_cells(dtype=torch.float32, rows=4, columns=6, order=None):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1  # noqa: E731
    facts = {
        "score": draw(rows, columns),
        "positive_score": draw(rows),
        "guide": draw(rows, columns),
        "guide_positive": draw(rows),
        "neighbour": draw(rows, columns),
        "known": draw(rows, columns) > 0.5,
        "verdict": draw(rows, columns).round().to(torch.int8),
        "rank": torch.arange(1, columns + 1).repeat(rows, 1),
        "same_group": draw(rows, columns) > 0.5,
        "selection": draw(rows, columns),
        "cross_encoder": draw(rows, columns),
        "cross_encoder_positive": draw(rows),
    }
    for name, fact in facts.items():
        if fact.is_floating_point():
            fact = fact.to(dtype)
        facts[name] = fact[:, order] if order is not None and fact.ndim == 2 else fact
    return Cells((rows, columns), facts)


def test_every_registered_rule_stands_here():
    assert set(OPTIONS) == set(names("rule"))
    assert all(summary.endswith(".") and len(summary) > 10 for _, summary in table("rule"))


@pytest.mark.parametrize(("name", "options"), EVERY)
class TestLaws:
    def test_weights_are_detached_finite_and_in_range(self, name, options):
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            weight = get("rule", name)(**options)(make_cells(dtype))
            assert weight.shape == (4, 6)
            assert not weight.requires_grad
            assert bool(weight.isfinite().all())
            assert float(weight.min()) >= 0
            assert float(weight.max()) <= 1

    def test_document_order_is_irrelevant(self, name, options):
        rule = get("rule", name)(**options)
        order = [3, 0, 5, 1, 4, 2]
        expected = rule(make_cells())[:, order]
        torch.testing.assert_close(rule(make_cells(order=order)), expected)

    def test_it_says_what_it_needs_and_asks_for_nothing_else(self, name, options):
        rule = get("rule", name)(**options)
        full = make_cells()
        only = Cells(full.shape, {fact: full[fact] for fact in rule.needs})
        torch.testing.assert_close(rule(only), rule(full))
        with pytest.raises(BadArgument, match="which was not given"):
            rules.check_rules([rule], [])

    def test_some_cell_is_weighed_down(self, name, options):
        weight = get("rule", name)(**options)(make_cells())
        assert float(weight.min()) < 1
        assert float(weight.max()) > 0

    def test_one_row_at_a_time_is_the_same(self, name, options):
        rule, full = get("rule", name)(**options), make_cells()
        for row in range(4):
            facts = {fact: full[fact][row : row + 1] for fact in rule.needs}
            torch.testing.assert_close(rule(Cells((1, 6), facts))[0], rule(full)[row])

    def test_what_is_unknown_drops_nothing(self, name, options):
        rule, full = get("rule", name)(**options), make_cells()
        facts = {fact: full[fact].clone() for fact in rule.needs}
        doubted = [fact for fact, known in facts.items() if known.is_floating_point()]
        for fact in doubted:
            facts[fact].fill_(float("nan"))
        weight = rule(Cells(full.shape, facts))
        if doubted and name != "threshold":  # a score outside of any band
            assert weight.tolist() == [[1.0] * 6] * 4

    def test_it_equals_its_options(self, name, options):
        one, two = get("rule", name)(**options), get("rule", name)(**options)
        assert one == two
        assert hash(one) == hash(two)
        assert repr(one) == repr(two)


def test_rules_multiply():
    cells = make_cells()
    parts = [rules.Guide(margin=0.2), rules.Threshold(at_most=0.5), rules.KnownPositive()]
    expected = parts[0](cells) * parts[1](cells) * parts[2](cells)
    torch.testing.assert_close(rules.combine(parts, cells), expected)
    assert rules.combine([], cells) is None


def test_guide_by_brute_force():
    cells = make_cells()
    for margin in (-0.1, 0.0, 0.15):
        for relative in (False, True):
            found = rules.Guide(margin=margin, relative=relative)(cells)
            for i in range(4):
                positive = float(cells["guide_positive"][i])
                limit = positive - (margin * abs(positive) if relative else margin)
                for j in range(6):
                    expected = 0.0 if float(cells["guide"][i, j]) > limit else 1.0
                    assert float(found[i, j]) == expected


def test_a_margin_is_the_guides_rule_by_the_students_own_scores():
    cells = make_cells()
    renamed = Cells(
        cells.shape, {"guide": cells["score"], "guide_positive": cells["positive_score"]}
    )
    for margin in (-0.3, 0.0, 0.15):
        found = rules.Margin(margin=margin)(cells)
        torch.testing.assert_close(found, rules.Guide(margin=margin)(renamed))
        assert 0 < float(found.mean()) < 1
    at = torch.tensor([[0.5, 0.25]])  # exactly at the threshold: kept
    assert rules.margin(at, torch.tensor([0.75]), margin=0.25).tolist() == [[1.0, 1.0]]


@pytest.mark.shared
def test_guide_thresholds_are_gold(shared):
    cases = json.loads((shared / "gold/retrieval.json").read_text())
    (case,) = [c for c in cases if c["case"].startswith("threshold forms")]
    positive = torch.tensor(case["inputs"]["guide_positive_similarity"], dtype=torch.float64)
    for name, relative in (("absolute", False), ("relative", True)):
        limits = torch.tensor(case["expected"][name], dtype=torch.float64)
        for nudge, weight in ((1e-9, 0.0), (-1e-9, 1.0)):
            found = rules.guide(
                (limits + nudge)[:, None],
                positive,
                margin=case["inputs"]["margin"],
                relative=relative,
            )
            assert found.flatten().tolist() == [weight] * 3


def test_margins_find_paraphrases_in_a_planted_world():
    """Dossier of GISTEmbed, "planted paraphrases": margin 0 finds half, a small margin all."""
    generator = torch.Generator().manual_seed(0)
    facts = torch.nn.functional.normalize(torch.randn(32, 64, generator=generator), dim=1)

    def noisy(which):
        noise = torch.randn(len(which), 64, generator=generator) / 8
        return torch.nn.functional.normalize(facts[which] + 0.3 * noise, dim=1)

    found, wrong = {}, {}
    which = torch.arange(32).repeat_interleave(2)
    queries, docs = noisy(which), noisy(which)
    guide = queries @ docs.T
    same = which[:, None] == which[None, :]
    own = torch.eye(64, dtype=torch.bool)
    for margin in (0.0, 0.1):
        dropped = rules.guide(guide, guide.diagonal(), margin=margin) == 0
        found[margin] = float(dropped[same & ~own].float().mean())
        wrong[margin] = float(dropped[~same].float().mean())
    assert 0.35 <= found[0.0] <= 0.65
    assert found[0.1] >= 0.95
    assert wrong[0.1] <= 0.001


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.Guide(margin=3), r"`margin` is 3, but it must be <= 2\. Try 0\.05\."),
        (lambda: rules.Margin(margin=float("nan")), r"`margin` is nan, but it must be a finite"),
        (lambda: rules.PositiveNeighbour(threshold=2), r"`threshold` is 2, but it must be <= 1"),
        (lambda: rules.Threshold(), r"`at_most` is None, but at least one bound must be given"),
        (
            lambda: rules.Threshold(at_least=0.9, at_most=0.1),
            r"`at_least` is 0\.9, but it must be <= at_most, which is 0\.1",
        ),
        (lambda: rules.RankWindow(first=0), r"`first` is 0, but it must be a whole number >= 1"),
        (lambda: rules.RankWindow(first=5, last=2), r"`last` is 2, but it must be >= first \(5\)"),
        (lambda: rules.check_rules([rules.Guide], []), r"each entry must be a rule object"),
        (lambda: get("rule", "gide"), r"one of adaptive, .* Did you mean 'guide'\?"),
    ],
)
def test_wording(make, message):
    with pytest.raises(BadArgument, match=message):
        make()
