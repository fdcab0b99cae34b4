"""Evidence, hidden labels, suspicion, draws, counts, thresholds and the closed loop."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score

from workbench.audit import (
    JudgedSample,
    before_after,
    choose_margin,
    compare_rules,
    draw,
    evidence,
    false_negatives,
    hide,
    margin_curve,
    relabelled,
    shared_answers,
    suspicion,
    trusted,
)
from workbench.audit.draw import Draw
from workbench.audit.evidence import Evidence
from workbench.audit.learn import RATE, learned
from workbench.audit.suspicion import Suspicion
from workbench.audit.toys import toy_audit, toy_verdicts
from workbench.data import from_rows
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData
from workbench.mine import apply_rules, bm25, bm25_pairs, dense, with_partners
from workbench.rules import Guide, Judged, PositiveNeighbour, Scored
from workbench.types import LossStore, Vectors, Verdicts


@cache
def world(labels=3, facts=40, noise=0.9):
    return toy_audit(labels=labels, facts=facts, noise=noise)


@cache
def suspected(labels=3):
    candidates, collection, guides, _ = world(labels)
    return suspicion(candidates, collection, guides=guides)


def precision(truth, value, there):
    return average_precision_score(truth[there], value[there])


# -- evidence -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_signals_equal_loops():
    candidates, collection, guides, _ = world()
    found = evidence(candidates, collection, guides=guides)
    queries, docs = (side.values for side in guides["toy"])
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, docs)]
    company = [side.values for side in with_partners(collection, guides["toy"])]
    rows, columns = np.nonzero(candidates.docs >= 0)
    cosine = np.einsum("nd,nd->n", unit[0][rows], unit[1][candidates.docs[rows, columns]])
    for place in (0, 7, 500, len(rows) - 1):
        query, doc = rows[place], candidates.docs[rows[place], columns[place]]
        own = collection.pairs[collection.pairs[:, 0] == query, 1]
        mine = rows == query
        wanted = {
            "toy": cosine[place],
            "toy.margin": cosine[place] - (unit[0][query] @ unit[1][own].T).min(),
            "toy.neighbour": (unit[1][doc] @ unit[1][own].T).max(),
            "toy.outlier": (cosine[place] - cosine[mine].mean()) / cosine[mine].std(),
            "toy.place": -np.log(1 + (cosine[mine] > cosine[place]).sum()),
            "toy.company": company[0][query] @ company[1][doc],
            "toy.company_neighbour": (company[1][doc] @ company[1][own].T).max(),
        }
        for name, value in wanted.items():
            assert found.column(name)[place] == pytest.approx(value, abs=2e-5), name
    score = bm25_pairs(collection.query_texts, collection.doc_texts)
    np.testing.assert_allclose(
        found.column("bm25"), score(rows, candidates.docs[rows, columns]), atol=1e-5
    )
    kinds = dict(zip(found.names, found.kinds(), strict=True))
    assert kinds["toy.margin"] == kinds["shared_answers"] == "own"
    assert (kinds["toy.company"], kinds["toy.place"], kinds["bm25"]) == ("company", "text", "text")


def test_bm25_of_pairs_is_what_the_miner_says():
    rows = [
        {"query": f"open word {n} file file", "positive": f"word {n % 7} said openFile path {n}"}
        for n in range(40)
    ]
    collection = from_rows(rows, name="demo")
    mined = bm25(collection, k=20)
    queries, ranks = np.nonzero(mined.docs >= 0)
    found = bm25_pairs(collection.query_texts, collection.doc_texts)(
        queries, mined.docs[queries, ranks]
    )
    np.testing.assert_allclose(found, mined.scores[queries, ranks], atol=1e-5)
    with pytest.raises(BadArgument, match="`b` is 2"):
        bm25_pairs(["a"], ["a"], b=2)


def test_shared_answers_equals_loops():
    rng = np.random.default_rng(0)
    rows = [
        {"query": f"q{query}", "positive": f"d{doc}"}
        for query in range(12)
        for doc in rng.permutation(8)[:3]
    ]
    collection = from_rows(rows, name="demo")
    answers = (collection.qrels > 0).toarray().astype(float)
    queries = np.repeat(np.arange(12), 8)
    docs = np.tile(np.arange(8), 12)
    found = shared_answers(collection)(queries, docs)
    for query, doc, value in zip(queries, docs, found, strict=True):
        common = answers @ answers[query]
        common[query] = 0
        wanted = (common * answers[:, doc]).sum() / max(common.sum(), 1)
        assert value == pytest.approx(wanted, abs=1e-6)


def test_further_scores_losses_and_unknown_ones():
    candidates, collection, guides, _truth = world()
    table = sparse.lil_array(collection.qrels.shape, dtype=np.float32)
    table[0, candidates.docs[0, 0]] = 2.0
    losses = LossStore.empty(len(collection.pairs), 1)
    losses.record(np.arange(len(collection.pairs)), np.ones(len(collection.pairs)), epoch=0)
    found = evidence(
        candidates, collection, guides=guides, scores={"cross": table.tocsr()}, losses=losses,
        lexical=False,
    )  # fmt: skip
    assert found.column("cross")[0] == 2
    assert np.isnan(found.column("cross")[1:]).all()
    assert np.isnan(found.column("cross.margin")).all()
    assert (found.column("loss.mean") == 1).all()
    assert (found.column("loss.spread") == 0).all()
    assert "bm25" not in found.names
    assert found.frame().shape == (len(found), len(found.names))


def test_evidence_survives_a_folder(tmp_path):
    candidates, collection, guides, _ = world()
    found = evidence(candidates, collection, guides=guides)
    found.save(tmp_path / "e")
    again = Evidence.load(tmp_path / "e")
    np.testing.assert_array_equal(found.values, again.values)
    assert list(again.names) == list(found.names)


def test_what_does_not_fit_is_refused_before_work():
    candidates, collection, guides, _ = world()
    queries, docs = guides["toy"]
    with pytest.raises(BadArgument, match=r"`guides` is \{\}, but it must be a mapping"):
        evidence(candidates, collection, guides={})
    with pytest.raises(BadArgument, match="without a dot"):
        evidence(candidates, collection, guides={"a.b": guides["toy"]})
    values = docs.values.copy()
    values[3] = np.nan
    broken = replace(docs, values=values)
    with pytest.raises(BadData, match="is not finite"):
        suspicion(candidates, collection, guides={"a": (queries, broken)})
    with pytest.raises(BadArgument, match="labelled pairs"):
        evidence(candidates, collection, guides=guides, losses=LossStore.empty(3))
    other = replace(candidates, query_ids=candidates.query_ids[::-1].copy())
    with pytest.raises(BadData, match="candidates' queries"):
        evidence(other, collection, guides=guides)
    with pytest.raises(BadArgument, match="must be one of toy"):
        evidence(candidates, collection, guides=guides).column("toi")
    with pytest.raises(BadArgument, match=r"it must be \(pair, 1\)"):
        Evidence(names=np.array(["a"], dtype=object), values=np.zeros((2, 3), np.float32))


# -- hidden labels --------------------------------------------------------------------------------


@pytest.mark.slow
def test_hidden_labels_are_hidden_from_every_signal():
    """A hidden label's company and neighbours must not know it: labels that are noise teach 0."""
    _candidates, collection, guides, _ = world(noise=6.0)  # a useless guide
    rng = np.random.default_rng(0)
    shuffled = sparse.csr_array(
        (
            np.ones(len(collection.pairs), np.float32),
            (collection.pairs[:, 0], rng.permutation(collection.pairs[:, 1])),
        ),
        shape=collection.qrels.shape,
    )
    nonsense = replace(collection, qrels=shuffled)
    mined = dense(nonsense, *guides["toy"], k=40)
    found = hide(mined, nonsense, guides=guides, seed=1)
    table = found.frame().set_index("signal")["auc"]
    for name in ("toy.company", "toy.company_neighbour", "toy.neighbour", "shared_answers"):
        assert abs(table[name] - 0.5) < 0.12, (name, table[name])


@pytest.mark.slow
def test_hidden_labels_rank_signals_as_the_truth_does():
    candidates, collection, guides, truth = world()
    found = hide(candidates, collection, guides=guides)
    assert not found.alone
    assert 0 <= found.lost < 0.5
    assert "one of several" in repr(found)
    table = found.frame().set_index("signal")["auc"]
    signals = evidence(candidates, collection, guides=guides)
    there = candidates.docs >= 0
    real = {
        str(name): average_precision_score(truth[there], signals.column(str(name)))
        for name in signals.names
    }
    names = ["toy.company_neighbour", "toy.neighbour", "toy.margin"]
    assert real[names[0]] > real[names[1]] > real[names[2]]
    assert table[names[0]] > table[names[1]] > table[names[2]]


@pytest.mark.slow
def test_hidden_labels_are_a_free_sample():
    candidates, collection, guides, _ = world()
    found = hide(candidates, collection, guides=guides)
    number = found.number("toy.neighbour")
    chosen = choose_margin(found.sample(), number, recall=0.6)
    dropped = number[:, 0] >= chosen["threshold"]
    assert chosen["recall"] == pytest.approx(dropped[found.hidden].mean())
    assert chosen["precision"] == pytest.approx(found.hidden[dropped].mean())
    with pytest.raises(BadArgument, match=r"`name` is 'toy\.neighbor'"):
        found.number("toy.neighbor")


@pytest.mark.slow
def test_only_labels_are_hidden_with_their_whole_query():
    candidates, collection, guides, _ = world(1)
    found = hide(candidates, collection, guides=guides)
    assert found.alone
    margin = found.values[:, list(found.names).index("toy.margin")]
    assert np.isnan(margin).all()
    with pytest.raises(BadArgument, match="of two labels or more"):
        hide(candidates, collection, guides=guides, alone=False)
    empty = replace(collection, qrels=sparse.csr_array(collection.qrels.shape, dtype=np.float32))
    with pytest.raises(BadArgument, match="a label to hide"):
        hide(candidates, empty, guides=guides)
    few = hide(candidates, collection, guides=guides, queries=20)
    assert 0 < len(np.unique(few.queries)) <= 20
    with pytest.raises(BadArgument, match="`queries` is 0"):
        hide(candidates, collection, guides=guides, queries=0)


# -- suspicion ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("labels", [3, 1])
def test_without_a_judgment_it_is_no_worse_than_the_best_signal(labels):
    candidates, _, _, truth = world(labels)
    found = suspected(labels)
    there = candidates.docs >= 0
    signals = found.signals
    best = max(
        average_precision_score(truth[there], signals.column(str(name))) for name in signals.names
    )
    ours = precision(truth, found.probability, there)
    assert ours >= best - 0.02, (ours, best)
    margin = average_precision_score(truth[there], signals.column("toy.margin"))
    assert ours > margin + 0.1


@pytest.mark.slow
def test_judgments_teach_and_their_own_probability_is_out_of_fold():
    candidates, _, _, truth = world(1)
    start = suspected(1)
    there = candidates.docs >= 0
    drawn = draw(start, 200)
    said = toy_verdicts(drawn.pairs(), candidates, truth)
    after = start.judged(said)
    assert (
        precision(truth, after.probability, there) >= precision(truth, start.prior, there) - 0.005
    )
    brier = [
        float(((one[there] - truth[there]) ** 2).mean()) for one in (start.prior, after.probability)
    ]
    assert brier[1] < brier[0]
    assert int((after.verdict != 0).sum()) == 200
    # Judgments that are the contrary of the truth must not raise their own pairs' probabilities.
    flipped = replace(
        said,
        labels=np.where(said.labels == "positive", "negative", "positive").astype(object),
    )
    contrary = start.judged(flipped)
    judged = after.verdict != 0
    own = np.corrcoef(contrary.probability[judged], truth[judged])[0, 1]
    told = np.corrcoef(contrary.decided()[judged], truth[judged])[0, 1]
    assert told == pytest.approx(-1)
    assert own > told + 0.1
    boosted = start.judged(said, model="boosting")
    assert precision(truth, boosted.probability, there) > 0.6
    assert "200 judged" in repr(after)
    with pytest.raises(BadArgument, match="`model` is 'forest'"):
        start.judged(said, model="forest")


def test_judgments_mend_the_level_of_the_probabilities():
    """Of what is said to be positive with probability p, a share p is, within .06 on average."""
    candidates, _, _, truth = world(1)
    there = candidates.docs >= 0

    def unreliability(found):
        step = np.minimum((found.probability[there] * 10).astype(int), 9)
        said = np.bincount(step, found.probability[there], minlength=10)
        return np.abs(said - np.bincount(step, truth[there], minlength=10)).sum() / there.sum()

    start = suspected(1)
    drawn = draw(start, 200)
    after = start.judged(toy_verdicts(drawn.pairs(), candidates, truth))
    assert unreliability(after) < 0.06
    assert unreliability(after) < unreliability(start)


@pytest.mark.slow
def test_one_judgment_moves_little_and_none_nothing():
    start = suspected()
    nothing = start.judged(Verdicts.of([], judge="me"))
    np.testing.assert_array_equal(nothing.probability, start.probability)
    candidates = start.candidates
    pair = (candidates.query_ids[5], candidates.doc_ids[candidates.docs[5, 9]])
    one = start.judged(Verdicts.of([(*pair, "positive")], judge="me"))
    assert np.nanmax(np.abs(one.probability - start.prior)) < 0.5
    unsure = start.judged(Verdicts.of([(*pair, "unsure")], judge="me"))
    np.testing.assert_array_equal(unsure.probability, start.probability)


@pytest.mark.slow
def test_known_positives_in_the_list_are_certain_and_never_drawn():
    _candidates, collection, guides, _ = world()
    mined = dense(collection, *guides["toy"], k=15, exclude="nothing")
    found = suspicion(mined, collection, guides=guides)
    known = KnownPositives.of(collection).paired(np.arange(len(mined.docs)), mined.docs)
    assert known.any()
    assert (found.probability[known] == 1).all()
    drawn = set(draw(found, 300).pairs())
    rows, columns = np.nonzero(known)
    labelled = zip(mined.query_ids[rows], mined.doc_ids[mined.docs[rows, columns]], strict=True)
    assert not drawn & set(labelled)


def test_a_table_of_it_is_a_rule():
    candidates, collection, _, truth = world()
    found = suspected()
    scores = {"suspicion": found.table()}
    rule = Scored(fact="suspicion", at_most=0.5)
    ruled = apply_rules(candidates, [rule], collection=collection, scores=scores)
    there = candidates.docs >= 0
    np.testing.assert_array_equal(ruled.weight[there] > 0, found.probability[there] <= 0.5)
    assert truth[(ruled.weight > 0)].mean() < truth[there].mean() / 2


def test_without_labels_the_rules_agree():
    _candidates, collection, guides, _truth = world()
    empty = replace(collection, qrels=sparse.csr_array(collection.qrels.shape, dtype=np.float32))
    mined = dense(empty, *guides["toy"], k=15)
    found = suspicion(mined, empty, guides=guides)
    assert found.recipe["prior"] == "the agreement of rules"
    there = mined.docs >= 0
    assert np.isfinite(found.probability[there]).all()
    assert (found.probability[there] > 0).all()
    assert (found.probability[there] < 1).all()
    first = found.probability[:, 0].mean()
    assert first > found.probability[:, -1].mean()
    assert found.probability[there].mean() == pytest.approx(RATE, abs=1e-3)


@pytest.mark.slow
def test_one_label_and_one_query_each_teach_no_label_based_signal():
    """Hiding the only label of a document leaves it without company, as no candidate is."""
    rng = np.random.default_rng(0)
    facts = np.repeat(np.arange(120), 2)
    truth = rng.standard_normal((120, 24))[facts]
    rows = [{"query": f"ask {n}", "positive": f"say {n}"} for n in range(240)]
    collection = from_rows(rows, name="pairs")
    order = np.array([int(text.split()[1]) for text in collection.query_texts])
    places = np.array([int(text.split()[1]) for text in collection.doc_texts])
    sides = [
        Vectors(
            values=(truth[which] + 1.5 * rng.standard_normal(truth.shape)).astype(np.float32),
            ids=ids,
            encoder="toy",
        )
        for which, ids in ((order, collection.query_ids), (places, collection.doc_ids))
    ]
    mined = dense(collection, *sides, k=20)
    guides = {"toy": tuple(sides)}
    hidden = hide(mined, collection, guides=guides)
    kinds = Evidence(names=hidden.names, values=hidden.values).kinds()
    assert (kinds[hidden.view] == "text").all()
    # The trap: learned from, company would tell hidden labels by having none.
    company = hidden.frame().set_index("signal").loc["toy.company", "auc"]
    false = (facts[order][:, None] == facts[places][np.maximum(mined.docs, 0)]) & (mined.docs >= 0)
    there = mined.docs >= 0
    found = suspicion(mined, collection, guides=guides)
    assert "agreement" in found.recipe["prior"]
    real = roc_auc_score(false[there], found.signals.column("toy.company"))
    assert company < real - 0.1
    best = max(
        average_precision_score(false[there], found.signals.column(str(name)))
        for name in found.signals.names
    )
    assert precision(false, found.prior, there) >= best - 0.03


def test_a_near_copy_of_an_answer_is_always_suspected():
    text = "for row in rows: total = total + row.price * row.count"
    rows = [{"query": "sum", "positive": text}, {"query": "other", "positive": text + ";"}]
    rows += [{"query": f"q {n}", "positive": f"something else {n} entirely"} for n in range(40)]
    collection = from_rows(rows, name="copies")
    sides = [
        Vectors(values=np.eye(42, dtype=np.float32) + 0.1, ids=ids, encoder="toy")
        for ids in (collection.query_ids, collection.doc_ids)
    ]
    found = suspicion(dense(collection, *sides, k=41), collection, guides={"toy": tuple(sides)})
    frame = found.frame()
    assert frame["probability"].head(2).min() > 0.979
    assert frame["copy"].head(2).min() >= 0.8 > frame["copy"].iloc[2]


def test_suspicion_survives_a_folder_and_refuses_a_damaged_one(tmp_path):
    found = suspected()
    found.save(tmp_path / "s")
    again = Suspicion.load(tmp_path / "s")
    np.testing.assert_array_equal(found.probability, again.probability)
    assert again.frame().equals(found.frame())
    assert len(again.frame()) == len(found.signals)
    (tmp_path / "s" / "prior.npy").write_bytes(b"half")
    with pytest.raises(BadData, match="missing or damaged"):
        Suspicion.load(tmp_path / "s")
    with pytest.raises(BadArgument, match="there is no such file"):
        Suspicion.load(tmp_path / "nothing")
    found.candidates.save(tmp_path / "c")
    with pytest.raises(BadArgument, match="must hold a Suspicion"):
        Suspicion.load(tmp_path / "c")
    with pytest.raises(BadArgument, match="`prior` is"):
        replace(found, prior=found.prior[:, :2])


def test_a_fit_of_one_kind_of_judgment_stays_finite():
    start = suspected()
    labels = np.zeros(len(start.signals), dtype=np.int8)
    labels[:3] = -1
    there = start.candidates.docs >= 0
    found = learned(start.signals, start.prior[there], labels, np.nonzero(there)[0])
    assert np.isfinite(found).all()


# -- draws and counts -----------------------------------------------------------------------------


def test_a_draw_is_fair_within_its_strata():
    """Every candidate of a stratum is drawn equally often, and no query twice where it can be."""
    start = suspected()
    candidates = start.candidates
    draws = [draw(start, 100, seed=seed) for seed in range(60)]
    first = draws[0]
    assert len(set(first.pairs())) == 100
    assert first.sizes.sum() == first.population
    counts = {}
    for one in draws:
        for pair, stratum in zip(one.pairs(), one.strata, strict=True):
            counts.setdefault(int(stratum), []).append(pair[0])
    small = int(np.argmin(first.sizes))
    assert len(set(counts[small])) > 0.5 * min(len(counts[small]), len(candidates.query_ids))
    per = np.bincount(first.strata, minlength=len(first.sizes))
    assert per.max() - per.min() <= 1
    assert first.pairs() == draw(start, 100, seed=0).pairs()
    assert len(draw(start, 10**6)) == first.population
    top = draw(start, 10, how="top")
    assert not len(top.sizes)
    assert len(draw(start, 10, how="random").sizes) == 1
    with pytest.raises(BadArgument, match="`how` is 'best'"):
        draw(start, 10, how="best")
    with pytest.raises(BadArgument, match="`n` is 0"):
        draw(start, 0)
    with pytest.raises(BadArgument, match="nothing is left"):
        draw(replace(start, verdict=np.ones_like(start.verdict)), 10)
    assert first.frame().shape == (100, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "n"), [("balanced", 50), ("balanced", 200), ("random", 200)])
def test_the_interval_of_the_count_holds_the_truth(how, n):
    candidates, _, _, truth = world()
    start = suspected()
    inside, wide = 0, []
    for seed in range(60):
        drawn = draw(start, n, how=how, seed=seed)
        found = false_negatives(drawn, toy_verdicts(drawn.pairs(), candidates, truth), seed=seed)
        inside += found.low <= truth.sum() <= found.high
        wide.append(found.high - found.low)
    assert inside >= 53, inside  # 95 % of 60 is 57; 53 is beyond chance at 95 %
    assert np.mean(wide) < (0.5 if n == 50 else 0.25) * truth.size
    if how == "balanced" and n == 200:
        plain = [
            false_negatives(one, toy_verdicts(one.pairs(), candidates, truth))
            for one in (draw(start, 200, how="random", seed=seed) for seed in range(10))
        ]
        assert np.mean(wide) < np.mean([one.high - one.low for one in plain])


def test_counts_over_rounds_and_what_is_not_judged(tmp_path):
    candidates, _, _, truth = world()
    start = suspected()
    first = draw(start, 60)
    said = toy_verdicts(first.pairs(), candidates, truth)
    second = draw(start.judged(said), 60, seed=1)
    assert sorted(second.earlier()) == sorted(first.pairs())
    answers = toy_verdicts(second.pairs(), candidates, truth)
    everything = toy_verdicts([*first.pairs(), *second.pairs()], candidates, truth)
    early = int((said.labels == "positive").sum())
    counted = false_negatives(second, everything).count - early
    changed = [(*pair, "negative") for pair in first.pairs()]
    rows = zip(answers.query_ids, answers.doc_ids, answers.labels, strict=True)
    revised = Verdicts.of([*changed, *rows], judge="me")  # a judge thinks again
    assert early > 0
    assert false_negatives(second, revised).count == pytest.approx(counted)
    assert not set(first.pairs()) & set(second.pairs())
    both = toy_verdicts([*first.pairs(), *second.pairs()], candidates, truth)
    found = false_negatives([first, second], both)
    assert found.judged == 120
    assert found.low < truth.sum() < found.high
    assert "120 judged" in str(found)
    assert 0 < found.rate < 1
    first.save(tmp_path / "d")
    assert Draw.load(tmp_path / "d").pairs() == first.pairs()
    unsure = Verdicts.of([(*pair, "unsure") for pair in first.pairs()], judge="me")
    with pytest.raises(BadArgument, match="none is about these draws"):
        false_negatives(first, unsure)
    with pytest.raises(BadArgument, match="says nothing of the others"):
        false_negatives(draw(start, 10, how="top"), said)
    with pytest.raises(BadArgument, match="there must be one"):
        false_negatives([], said)
    with pytest.raises(BadArgument, match="they must be of one list"):
        false_negatives([first, replace(second, population=7)], said)
    with pytest.raises(BadArgument, match="`level` is 1"):
        false_negatives(first, said, level=1)


# -- thresholds -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_curve_equals_loops_and_its_bounds_hold():
    candidates, _, _, truth = world()
    start = suspected()
    number = start.probability
    there = candidates.docs >= 0
    missed = [0, 0]
    for seed in range(40):
        drawn = draw(start, 120, seed=seed)
        said = toy_verdicts(drawn.pairs(), candidates, truth)
        sample = JudgedSample.of(candidates, said, drawn)
        assert sample.weight.sum() == pytest.approx(drawn.population)
        try:
            chosen = choose_margin(sample, number, precision=0.6, level=0.9)
        except BadArgument:
            continue
        dropped = there & (number >= chosen["threshold"])
        missed[0] += truth[dropped].mean() < 0.6
        missed[1] += 1
    assert missed[1] >= 20
    assert missed[0] <= 0.2 * missed[1], missed
    whole = margin_curve(JudgedSample.hidden(candidates, truth), number)
    middle = whole.iloc[len(whole) // 2]
    dropped = there & (number >= middle["threshold"])
    assert middle["precision"] == pytest.approx(truth[dropped].mean())
    assert middle["recall"] == pytest.approx(truth[dropped].sum() / truth.sum())
    assert middle["lost"] == pytest.approx((dropped & ~truth).sum() / (there & ~truth).sum())
    assert middle["precision_bound"] < middle["precision"]
    assert middle["lost_bound"] > middle["lost"]


def test_wishes_that_cannot_be_kept():
    candidates, _, _, truth = world()
    sample = JudgedSample.hidden(candidates, truth)
    number = suspected().probability
    assert choose_margin(sample, number, recall=0.8)["recall_bound"] >= 0.8
    with pytest.raises(BadArgument, match="exactly one of precision and recall"):
        choose_margin(sample, number)
    with pytest.raises(BadArgument, match="no threshold promises it"):
        choose_margin(sample, -number, precision=0.99)
    with pytest.raises(BadArgument, match="must hold a positive"):
        margin_curve(JudgedSample.hidden(candidates, truth & False), number)
    with pytest.raises(BadArgument, match=r"\(query, rank\)"):
        margin_curve(sample, number[:3])
    with pytest.raises(BadArgument, match="stands at rank"):
        margin_curve(sample, number[:, :3])
    with pytest.raises(BadArgument, match="its shape must be"):
        JudgedSample.hidden(candidates, truth[:3])
    with pytest.raises(BadArgument, match="must be judged"):
        JudgedSample.of(candidates, Verdicts.of([], judge="me"))
    top = draw(suspected(), 5, how="top")
    with pytest.raises(BadArgument, match="it must have strata"):
        JudgedSample.of(candidates, toy_verdicts(top.pairs(), candidates, truth), top)


def test_rules_are_compared_on_one_sample():
    candidates, collection, guides, truth = world()
    ruled = {
        name: apply_rules(candidates, [rule], collection=collection, guide=guides["toy"])
        for name, rule in (("gist", Guide()), ("near", PositiveNeighbour(threshold=0.6)))
    }
    whole = compare_rules(JudgedSample.hidden(candidates, truth), ruled).set_index("rule")
    there = candidates.docs >= 0
    for name, one in ruled.items():
        dropped = there & (one.weight <= 0)
        assert whole.loc[name, "precision"] == pytest.approx(truth[dropped].mean())
        assert whole.loc[name, "recall"] == pytest.approx((truth & dropped).sum() / truth.sum())
        assert whole.loc[name, "recall_low"] < whole.loc[name, "recall"]
        assert whole.loc[name, "recall"] < whole.loc[name, "recall_high"]
    drawn = draw(suspected(), 150)
    sample = JudgedSample.of(candidates, toy_verdicts(drawn.pairs(), candidates, truth), drawn)
    some = compare_rules(sample, ruled).set_index("rule")
    wider = some.loc["near", "recall_high"] - some.loc["near", "recall_low"]
    assert wider > whole.loc["near", "recall_high"] - whole.loc["near", "recall_low"]
    assert some.loc["near", "recall"] == pytest.approx(whole.loc["near", "recall"], abs=0.25)
    with pytest.raises(BadArgument, match="there must be a rule"):
        compare_rules(sample, {})


@pytest.mark.slow
def test_a_rule_that_learned_from_the_sample_is_measured_without_it():
    """With verdicts in the table it would always be right; without them intervals hold."""
    candidates, collection, _, truth = world(1)
    start = suspected(1)
    there = candidates.docs >= 0
    inside, flattered = [], []
    for seed in range(6):
        drawn = draw(start, 120, seed=seed)
        said = toy_verdicts(drawn.pairs(), candidates, truth)
        now = start.judged(said)
        sample = JudgedSample.of(candidates, said, drawn)
        for decided, keep in ((False, inside), (True, flattered)):
            table = now.table(decided=decided)
            ruled = apply_rules(
                candidates, [Scored(fact="suspicion", at_most=0.5)], collection=collection,
                scores={"suspicion": table},
            )  # fmt: skip
            row = compare_rules(sample, {"suspicion": ruled}).iloc[0]
            dropped = there & (now.probability > 0.5)
            real = truth[dropped].sum() / truth.sum()
            keep.append(row["recall_low"] <= real <= row["recall_high"])
            assert decided == (row["precision"] == row["recall"] == 1.0)
    assert sum(inside) >= 5


# -- the closed loop ------------------------------------------------------------------------------


def test_judgments_become_labels_and_trusted_negatives():
    candidates, collection, guides, truth = world()
    drawn = draw(suspected(), 100)
    said = toy_verdicts([*drawn.pairs(), ("nobody", "nothing")], candidates, truth)
    after = relabelled(collection, said)
    positives = int((said.labels == "positive").sum())
    assert len(after.pairs) == len(collection.pairs) + positives
    assert after.recipe["judged"]["elsewhere"] == 1
    left = relabelled(collection, said, positives="leave", negatives="leave")
    assert (left.qrels != collection.qrels).nnz == 0
    pair = (collection.query_ids[0], collection.doc_ids[collection.pairs[0, 1]])
    taken = relabelled(collection, Verdicts.of([(*pair, "negative")], judge="me"))
    assert len(taken.pairs) == len(collection.pairs) - 1
    # What was labelled is no longer mined, and known to rules and sampler alike.
    again = dense(after, *guides["toy"], k=15)
    found = set(
        zip(
            again.query_ids[np.nonzero(again.docs >= 0)[0]].tolist(),
            again.doc_ids[again.docs[again.docs >= 0]].tolist(),
            strict=True,
        )
    )
    answers = [
        pair for pair, label in said.newest().items() if label == "positive" and pair[0] != "nobody"
    ]
    assert answers
    assert not found & set(answers)
    ordered = trusted(candidates, said)
    ruled = apply_rules(
        ordered, [Judged(), Scored(fact="s", at_most=-1.0)], collection=collection,
        verdicts=said, scores={"s": lambda q, d: np.zeros((len(q), len(d)))},
    )  # fmt: skip
    assert int((ruled.weight > 0).sum()) == int((said.labels == "negative").sum()) - 1
    assert ((np.diff((ruled.weight > 0).astype(int), axis=1)) <= 0).all()  # they stand first
    with pytest.raises(BadArgument, match="`positives` is 'keep'"):
        relabelled(collection, said, positives="keep")
    with pytest.raises(BadArgument, match="`grade` is 0"):
        relabelled(collection, said, grade=0)


def test_the_scorecard_tells_before_from_after():
    candidates, collection, _, truth = world()
    found = suspected()
    after = apply_rules(
        candidates, [Scored(fact="suspicion", at_most=0.5)], collection=collection,
        scores={"suspicion": found.table()},
    )  # fmt: skip
    card = before_after(candidates, after, JudgedSample.hidden(candidates, truth)).set_index("list")
    kept = after.weight > 0
    used = kept & (np.cumsum(kept, axis=1) <= 5)
    assert card.loc["after", "false"] == pytest.approx(truth[used].mean())
    assert card.loc["before", "false"] == pytest.approx(truth[:, :5].mean())
    assert card.loc["after", "false"] < card.loc["before", "false"]
    assert card.loc["before", "found"] == 0
    assert card.loc["after", "kept"] == int(kept.sum())
    with pytest.raises(BadArgument, match="in their order"):
        before_after(candidates, trusted(after, toy_verdicts(
            [(candidates.query_ids[0], candidates.doc_ids[candidates.docs[0, 5]])],
            candidates, truth & False)), JudgedSample.hidden(candidates, truth))  # fmt: skip


@pytest.mark.slow
def test_two_guides_stand_together():
    candidates, collection, guides, truth = world()
    rng = np.random.default_rng(3)
    noisy = tuple(
        Vectors(
            values=(side.values + rng.standard_normal(side.values.shape) * 0.2).astype(np.float32),
            ids=side.ids,
            encoder="noisy",
        )
        for side in guides["toy"]
    )
    found = suspicion(candidates, collection, guides={**guides, "noisy": noisy})
    there = candidates.docs >= 0
    assert precision(truth, found.probability, there) > precision(
        truth, found.signals.column("noisy.company").reshape(truth.shape), there
    )
