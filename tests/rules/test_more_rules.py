"""Rules by share, spread, prior, posterior, propensity, group and named score: gold and loops."""

import json
import math
import statistics
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from workbench import losses, rules
from workbench.errors import BadArgument
from workbench.scores import Cells

NAN, INF = float("nan"), float("inf")


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1


@pytest.fixture
def gold(shared):
    def find(file, method, case):
        cases = json.loads((shared / f"gold/{file}.json").read_text())
        (found,) = [c for c in cases if c["method"] == method and c["case"].startswith(case)]
        return found["inputs"], found["expected"]

    return find


class TestShareOfPositive:
    def test_by_loops(self):
        scores, positive = numbers(5, 40), numbers(5, seed=1)
        for share in (0.0, 0.8, 0.95, 1.0, 1.1):
            found = rules.share_of_positive(scores, positive, share=share)
            for i in range(5):
                best = float(positive[i])
                limit = share * best if best > 0 else best - abs(best) * (1 - share)
                for j in range(40):
                    assert found[i, j] == (0 if float(scores[i, j]) > limit else 1)

    def test_it_is_the_relative_margin_of_the_guide_rule(self):
        facts = {"guide": numbers(5, 40), "guide_positive": numbers(5, seed=1)}
        cells = Cells((5, 40), facts)
        found = rules.ShareOfPositive(share=0.8, by="guide")(cells)
        torch.testing.assert_close(found, rules.Guide(margin=0.2, relative=True)(cells))

    def test_a_smaller_share_drops_more_whatever_the_sign(self):
        scores = torch.linspace(-1, 1, 401)[None].expand(2, -1)
        kept = [
            rules.share_of_positive(scores, torch.tensor([0.5, -0.5]), share=share).sum(dim=1)
            for share in (0.5, 0.8, 0.95)
        ]
        assert bool((kept[0] < kept[1]).all())
        assert bool((kept[1] < kept[2]).all())

    @pytest.mark.shared
    def test_thresholds_are_gold(self, gold):
        inputs, expected = gold("retrieval", "GISTEmbed", "threshold forms")
        positive = torch.tensor(inputs["guide_positive_similarity"], dtype=torch.float64)
        limits = torch.tensor(expected["relative"], dtype=torch.float64)
        for nudge, weight in ((1e-9, 0.0), (-1e-9, 1.0)):
            found = rules.share_of_positive(
                (limits + nudge)[:, None], positive, share=1 - inputs["margin"]
            )
            assert found.flatten().tolist() == [weight] * 3


class TestAdaptive:
    @pytest.mark.shared
    def test_thresholds_are_gold(self, gold):
        inputs, expected = gold("noise", "ATSS", "adaptive_similarity_threshold")
        scores = torch.tensor(inputs["similarity"], dtype=torch.float64)
        options = {"top": inputs["topk"], "sigmas": inputs["sigmas"]}
        wanted = torch.tensor(expected["threshold"], dtype=torch.float64)
        found = rules.adaptive_threshold(scores, **options)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)
        masked = 1 - rules.adaptive(scores, **options)
        assert masked.tolist() == expected["masked"]

    @pytest.mark.parametrize("top", [2, 5, 100])
    def test_by_loops_over_what_is_finite(self, top):
        scores = numbers(6, 12)
        scores[0, 3], scores[1, :4], scores[2, 1:] = NAN, -INF, NAN
        scores[3], scores[4, 2:] = NAN, -INF
        found = rules.adaptive(scores, top=top, sigmas=0.7)
        for i, row in enumerate(scores.tolist()):
            best = sorted((s for s in row if math.isfinite(s)), reverse=True)[:top]
            limit = INF
            if len(best) > 1:
                limit = statistics.fmean(best) + 0.7 * statistics.stdev(best)
            assert found[i].tolist() == [0.0 if s > limit else 1.0 for s in row]
        assert bool(rules.adaptive_threshold(scores, top=top)[2:4].isnan().all())

    @pytest.mark.parametrize("value", [0.1, -0.7, 1e6])
    @pytest.mark.parametrize("columns", [3, 7, 29])
    def test_equal_scores_do_not_stand_out(self, value, columns):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            scores = torch.full((1, columns), value, dtype=dtype)
            assert rules.adaptive(scores, sigmas=0.0).min() == 1

    def test_a_row_is_cut_by_its_own_level(self):
        """One global threshold cannot do this."""
        scores = torch.tensor([[0.9, 0.50, 0.49, 0.48, 0.47], [0.4, 0.1, 0.09, 0.08, 0.07]])
        assert rules.adaptive(scores).tolist() == [[0, 1, 1, 1, 1]] * 2

    def test_no_candidate_at_all(self):
        assert rules.adaptive(torch.zeros(2, 0)).shape == (2, 0)


def paper_g(row, positive, prior, temperature):
    """Chuang et al. 2020, M = 1."""
    mean = statistics.fmean(math.exp(score / temperature) for score in row)
    corrected = (mean - prior * math.exp(positive / temperature)) / (1 - prior)
    return max(corrected, math.exp(-1 / temperature))


class TestDebiased:
    @pytest.mark.parametrize("temperature", [0.1, 0.5])
    @pytest.mark.parametrize("prior", [0.0, 0.1, 0.6])
    def test_denominators_are_the_papers_times_a_constant(self, prior, temperature):
        scores = numbers(8, 8)
        positive = torch.arange(8)
        own = torch.eye(8, dtype=torch.bool)
        facts = {
            "score": scores.masked_fill(own, NAN),  # the labelled positive is no candidate
            "positive_score": scores.diagonal(),
        }
        weight = rules.Debiased(prior=prior, temperature=temperature)(Cells((8, 8), facts))
        decoupled = losses.decoupled(scores, positive, temperature=temperature, weight=weight)
        nce = losses.info_nce(scores, positive, temperature=temperature, weight=weight)
        floored = 0
        for i in range(8):
            row = [float(scores[i, j]) for j in range(8) if j != i]
            best = float(scores[i, i])
            g = paper_g(row, best, prior, temperature)
            floored += g == math.exp(-1 / temperature)
            denominator = (1 - prior) * len(row) * g
            wanted = -best / temperature + math.log(denominator)
            assert float(decoupled[i]) == pytest.approx(wanted, rel=1e-12)
            pull = math.exp(best / temperature)
            wanted = -math.log(pull / (pull + denominator))
            assert float(nce[i]) == pytest.approx(wanted, rel=1e-12)
        assert floored < 8
        assert floored > 0 or prior < 0.6, "the floor is met, too"

    def test_one_weight_per_row_and_1_without_a_prior(self):
        scores, positive = numbers(4, 9), numbers(4, seed=2)
        weight = rules.debiased(scores, positive, prior=0.3, temperature=0.5)
        assert bool((weight == weight[:, :1]).all())
        assert len(weight[:, 0].unique()) == 4
        assert rules.debiased(scores, positive, prior=0.0).unique().tolist() == [1.0]

    def test_unknown_rows_are_left_alone(self):
        scores, positive = numbers(3, 4).float(), torch.tensor([NAN, 0.5, 0.5])
        scores[1] = -INF
        weight = rules.debiased(scores, positive, prior=0.5)
        assert weight[:2].min() == 1
        assert weight[2].max() < 1

    def test_missing_candidates_do_not_count_in_the_mean(self):
        scores, positive = numbers(1, 6), torch.tensor([0.4], dtype=torch.float64)
        gaps = torch.cat([scores, torch.tensor([[NAN, -INF]], dtype=torch.float64)], dim=1)
        options = {"prior": 0.1, "temperature": 0.5}
        found = rules.debiased(gaps, positive, **options)[0, 0]
        torch.testing.assert_close(found, rules.debiased(scores, positive, **options)[0, 0])

    def test_extreme_temperatures_stay_in_range(self):
        scores = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
        for positive in (-1.0, 1.0):
            weight = rules.debiased(scores, torch.full((2,), positive), temperature=0.001)
            assert bool(weight.isfinite().all())
            assert 0 <= float(weight.min()) <= float(weight.max()) <= 1


class TestPosterior:
    @pytest.mark.shared
    def test_weights_are_gold(self, gold):
        inputs, expected = gold("noise", "NBPO", "posterior_and_stable_likelihood")
        scores = torch.tensor([inputs["score"]], dtype=torch.float64)
        wanted = 1 - torch.tensor([expected["posterior_false_negative"]], dtype=torch.float64)
        found = rules.posterior(scores, flip=inputs["flip"], temperature=1.0)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)

    def test_by_loops(self):
        scores = numbers(3, 7)
        rule = rules.Posterior(flip=0.3, temperature=0.2, bias=-1.5, by="guide")
        found = rule(Cells((3, 7), {"guide": scores}))
        for i in range(3):
            for j in range(7):
                r = 1 / (1 + math.exp(-(float(scores[i, j]) / 0.2 - 1.5)))
                assert float(found[i, j]) == pytest.approx(1 - 0.3 * r / (0.3 * r + 1 - r))

    def test_no_lost_label_no_doubt_and_extremes_stay_in_range(self):
        scores = torch.tensor([[-1.0, 1.0, 1e4, -1e4, NAN]])
        assert rules.posterior(scores, flip=0.0).tolist() == [[1.0] * 5]
        assert rules.posterior(scores).tolist()[0][2:] == [0.0, 1.0, 1.0]


class TestPropensity:
    @pytest.mark.shared
    @pytest.mark.parametrize("temperature", [10, 2])
    def test_weights_are_gold_up_to_the_largest(self, gold, temperature):
        inputs, expected = gold("noise", "CET", f"coupled_weights_T{temperature}")
        for score, weight in (("S_neg", "weight_for_R"), ("R_neg", "weight_for_S")):
            wanted = torch.tensor(expected[weight], dtype=torch.float64)
            given = torch.tensor([inputs[score]], dtype=torch.float64)
            found = rules.propensity(given, temperature=inputs["T"])[0]
            torch.testing.assert_close(found, wanted / wanted.max(), rtol=0, atol=1e-9)

    @pytest.mark.shared
    def test_weights_over_their_mean_are_gold(self, gold):
        inputs, expected = gold("noise", "CET", "mean_normalised_weight")
        given = torch.tensor([inputs["S_neg"]], dtype=torch.float64)
        found = rules.propensity(given, temperature=inputs["T"])[0]
        wanted = torch.tensor(expected["weight"], dtype=torch.float64)
        torch.testing.assert_close(found / found.mean(), wanted, rtol=0, atol=1e-9)

    def test_what_no_pool_is_known_to_hold_is_trusted_least(self):
        given = torch.tensor([[0.0, 2.0, NAN, -INF], [NAN, NAN, NAN, NAN], [5e3, 0.0, NAN, INF]])
        found = rules.propensity(given, temperature=2.0)
        most = 1 + math.e
        wanted = torch.tensor([2 / most, 1.0, 1 / most, 1 / most])
        torch.testing.assert_close(found[0], wanted)
        assert found[1].tolist() == [1.0] * 4
        assert bool(found.isfinite().all())


def test_scored_by_loops():
    facts = {"judge": numbers(4, 9), "judge_positive": numbers(4, seed=1)}
    facts["judge"][0, 2], facts["judge_positive"][3] = NAN, NAN
    for at_most, margin, relative in (
        (0.3, None, False),
        (None, 0.2, False),
        (None, 0.2, True),
        (0.5, -0.1, True),
    ):
        rule = rules.Scored(fact="judge", at_most=at_most, margin=margin, relative=relative)
        found = rule(Cells((4, 9), facts))
        for i in range(4):
            best = float(facts["judge_positive"][i])
            for j in range(9):
                score = float(facts["judge"][i, j])
                lost = at_most is not None and score > at_most
                if margin is not None:
                    lost = lost or score > best - margin * (abs(best) if relative else 1)
                assert found[i, j] == (0 if lost else 1), (i, j)
        assert 0 < found.mean() < 1


def test_needs_follow_the_options():
    assert rules.Scored(at_most=0.1).needs == ("cross_encoder",)
    assert rules.Scored(margin=0).needs == ("cross_encoder", "cross_encoder_positive")
    assert rules.Propensity(fact="pool").needs == ("pool",)
    assert rules.Adaptive().needs == ("guide",)
    assert rules.ShareOfPositive(by="guide").needs == ("guide", "guide_positive")
    assert rules.ShareOfPositive().needs == ("score", "positive_score")


def test_the_neighbour_rule_is_one_factor_among_others():
    """A known positive's neighbourhood and a margin to the positive see different mistakes."""
    facts = {
        "neighbour": torch.tensor([[0.95, 0.2, 0.95, 0.2]]),
        "score": torch.tensor([[0.9, 0.9, 0.1, 0.1]]),
        "positive_score": torch.tensor([0.8]),
        "guide": torch.tensor([[0.0, 0.0, 0.0, 0.0]]),
        "same_group": torch.tensor([[False, False, False, False]]),
    }
    cells = Cells((1, 4), facts)
    near, share = rules.PositiveNeighbour(threshold=0.9), rules.ShareOfPositive()
    assert near(cells).tolist() == [[0, 1, 0, 1]]
    assert share(cells).tolist() == [[0, 0, 1, 1]]
    assert rules.combine([near, share], cells).tolist() == [[0, 0, 0, 1]]
    trust = rules.Posterior(flip=0.5, temperature=1.0, by="guide")
    wanted = near(cells) * share(cells) * trust(cells) * rules.SameGroup()(cells)
    found = rules.combine([near, rules.SameGroup(), trust, share], cells)
    torch.testing.assert_close(found, wanted)
    assert 0 < float(found[0, 3]) < 1


def test_a_rule_may_hold_its_needs_either_way():
    @dataclass(frozen=True)
    class Fixed:
        needs: ClassVar[tuple[str, ...]] = ("score",)

        def __call__(self, cells):
            return cells["score"]

    @dataclass(frozen=True)
    class Chosen:
        by: str

        @property
        def needs(self):
            return (self.by,)

        def __call__(self, cells):
            return cells[self.by]

    rules.check_rules([Fixed(), Chosen("guide")], ["score", "guide"])
    with pytest.raises(BadArgument, match=r"needs judge, .* Pass scores=\{'judge': score of each"):
        rules.check_rules([Chosen("judge")], ["score"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.ShareOfPositive(share=-1), r"`share` is -1, but it must be >= 0\. Try 0"),
        (lambda: rules.ShareOfPositive(share=95), r"`share` is 95, but it must be <= 2"),
        (lambda: rules.ShareOfPositive(by="gide"), r"`by` is 'gide', .*Did you mean 'guide'\?"),
        (lambda: rules.Adaptive(top=1), r"`top` is 1, but it must be a whole number >= 2\. Try 30"),
        (lambda: rules.Adaptive(sigmas=NAN), r"`sigmas` is nan, but it must be a finite number"),
        (lambda: rules.Adaptive(sigmas=11), r"`sigmas` is 11, but it must be <= 10"),
        (lambda: rules.Adaptive(by="rank"), r"`by` is 'rank', but it must be one of guide, score"),
        (lambda: rules.Debiased(prior=1), r"`prior` is 1, but it must be < 1\. Try 0\.1"),
        (lambda: rules.Debiased(prior=-0.1), r"`prior` is -0\.1, but it must be >= 0"),
        (lambda: rules.Debiased(temperature=0), r"`temperature` is 0, .* Give that of the loss"),
        (lambda: rules.Debiased(by="scor"), r"`by` is 'scor', .*Did you mean 'score'\?"),
        (lambda: rules.Posterior(flip=2), r"`flip` is 2, but it must be <= 1\. Try 0\.1"),
        (lambda: rules.Posterior(temperature=0), r"`temperature` is 0, but it must be > 0"),
        (lambda: rules.Posterior(bias=INF), r"`bias` is inf, but it must be a finite number"),
        (lambda: rules.Posterior(by="x"), r"`by` is 'x', but it must be one of score, guide"),
        (lambda: rules.Propensity(temperature=0), r"`temperature` is 0, .* Try 10\."),
        (lambda: rules.Propensity(fact=""), r"`fact` is '', but it must be the name of a score"),
        (lambda: rules.Scored(fact="", margin=0), r"`fact` is '', but it must name a score"),
        (lambda: rules.Scored(), r"`at_most` is None, but at_most or margin must be given"),
        (lambda: rules.Scored(margin=NAN), r"`margin` is nan, .* Give it in units of the scorer"),
        (
            lambda: rules.scored(torch.zeros(1, 1), margin=0.1),
            r"`positive_scores` is None, but margin compares with them",
        ),
        (
            lambda: rules.check_rules([rules.SameGroup()], ["score"]),
            r"needs same_group, .* Pass the collection, whose groups",
        ),
        (
            lambda: rules.check_rules([rules.Propensity()], ["score"]),
            r"needs selection, .* Pass scores=\{'selection': log-odds",
        ),
        (
            lambda: rules.check_rules([rules.Scored(margin=0)], ["cross_encoder"]),
            r"needs cross_encoder_positive, .* and labelled positives",
        ),
    ],
)  # fmt: skip
def test_wording(make, message):
    with pytest.raises(BadArgument, match=message):
        make()
