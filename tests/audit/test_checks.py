"""Every check finds what is planted and says nothing of a clean control."""

import re
from dataclasses import replace

import numpy as np
import pytest

from workbench import registry
from workbench.audit import checks
from workbench.audit.checks import Given, NotAsked
from workbench.audit.checks._base import check_codes, of, short
from workbench.audit.checks.duplicate_positives import repeated_pairs, split_answers
from workbench.audit.checks.imbalance import effective, scripts
from workbench.audit.checks.label_noise import chance_levels, wrong_labels
from workbench.audit.checks.leaks import seen_before
from workbench.audit.checks.one_direction import drawn
from workbench.audit.checks.texts import contained, prompted
from workbench.audit.checks.unanswerable import far_below
from workbench.audit.suspicion import suspicion
from workbench.audit.toys import toy_audit
from workbench.data import KnownPositives, from_rows, read_beir
from workbench.encode import Encoder, VectorCache, encode_collection, scratch
from workbench.errors import BadArgument, BadData
from workbench.mine import bm25, dense
from workbench.types import LossStore, Vectors, Verdicts

N, DIM, K = 120, 32, 6


def sentences(count, seed, words=12):
    """Texts of made-up words: no two share a shingle."""
    draw = np.random.default_rng(seed)
    vocabulary = [f"{a}{b}{c}" for a in "bdkl" for b in ("ara", "elo", "imi", "uro")
                  for c in ("n", "st", "x", "mek", "tol")]  # fmt: skip
    return [" ".join(draw.choice(vocabulary, words)) for _ in range(count)]


def unit(values):
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def pair_of(collection, queries, docs):
    """Vectors of a collection."""
    return (Vectors(values=queries, ids=collection.query_ids, encoder="e"),
            Vectors(values=docs, ids=collection.doc_ids, encoder="e"))  # fmt: skip


def world(queries=None, docs=None, sources=None, seed=1, name="clean"):
    """N pairs of distinct texts, one positive each, two sources of one size."""
    asked = list(sentences(N, seed)) if queries is None else queries
    answers = list(sentences(N, seed + 100, words=20)) if docs is None else docs
    rows = [
        {
            "query": query, "positive": doc, "query_id": f"q{place}", "positive_id": f"d{place}",
            "source": "ab"[place % 2] if sources is None else sources[place],
        }
        for place, (query, doc) in enumerate(zip(asked, answers, strict=True))
    ]  # fmt: skip
    return from_rows(rows, name=name)


def looks(collection, *, noise=0.5, seed=2):
    """Vectors that put each query near its own document and nowhere else."""
    draw = np.random.default_rng(seed)
    truth = unit(draw.standard_normal((len(collection.queries), DIM)))
    queries = unit(truth + noise * unit(draw.standard_normal(truth.shape)))
    docs = unit(truth + noise * unit(draw.standard_normal(truth.shape)))
    return pair_of(collection, queries, docs)


def alike(collection, vectors):
    """The same, all texts somewhat alike, so that negatives are neither easy nor too hard."""
    return pair_of(collection, *(unit(side.values + np.full(DIM, 0.25)) for side in vectors))


@pytest.fixture
def clean():
    return world()


@pytest.fixture
def vectors(clean):
    return looks(clean)


@pytest.fixture
def found(clean, vectors):
    return dense(clean, *vectors, k=K)


@pytest.fixture(scope="module")
def guessed():
    """A suspicion of the clean world's candidates; nobody may change it."""
    made = world()
    guide = looks(made)
    return suspicion(dense(made, *guide, k=K), made, guides={"guide": guide})


def guess(guessed, chance):
    """The same with these probabilities."""
    return replace(guessed, probability=np.broadcast_to(chance, guessed.prior.shape))


@pytest.fixture(scope="module")
def encoder():
    return scratch(sentences(200, 7), vocab_size=400, dim=16, max_length=24)


def ids_of(finding):
    return {example.ids for example in finding.examples}


# What every check must do ---------------------------------------------------------------------


def everything(clean, encoder):
    vectors = encode_collection(encoder, clean, progress=False)
    guide = looks(clean)
    return Given(
        collection=clean,
        candidates=dense(clean, *guide, k=K),
        vectors=vectors,
        guide=guide,
        evaluation=world(seed=50, name="test"),
        encoder=encoder,
        losses=None,
        verdicts=Verdicts.of([("q0", "d0", "positive"), ("q0", "d1", "negative")], judge="me"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("code", registry.names("check"))
def test_a_clean_world_is_clean(code, clean, encoder):
    given = everything(clean, encoder)
    if code in ("WB106", "WB107", "WB113"):  # of the encoder at hand, and this one is untrained
        given = replace(given, vectors=alike(clean, given.guide))
    finding = registry.get("check", code)()(given)
    assert finding.state == "clean", finding.says
    assert finding.code == code
    assert not finding.examples


@pytest.mark.parametrize("code", registry.names("check"))
def test_a_check_says_what_it_is(code):
    check = registry.get("check", code)()
    assert isinstance(check, checks.Check)
    assert check.code == code
    assert check.severity in checks.SEVERITIES
    assert check.title
    assert check.title[0].islower()
    assert check.mend.endswith(".")
    assert (check.__doc__ or "").count("Breaks when:") == 1


@pytest.mark.parametrize("code", registry.names("check"))
def test_every_code_is_explained(code, root):
    text = (root / "docs" / "checks.md").read_text(encoding="utf-8")
    anchor = f'<a id="{code.lower()}"></a>'
    assert text.count(anchor) == 1
    section = text.split(anchor)[1].split("<a id=")[0]
    for part in ("Measured", "To do", "False alarm"):
        assert f"**{part}.**" in section


def test_what_is_advised_is_there(root):
    """Every part that a check or its page names."""
    from workbench import audit, data, mine, rules, sample

    rooms = {"audit": audit, "data": data, "mine": mine, "rules": rules, "sample": sample}
    advice = [registry.get("check", code)().mend for code in registry.names("check")]
    text = "\n".join([(root / "docs" / "checks.md").read_text(encoding="utf-8"), *advice])
    named = set(re.findall(rf"\b({'|'.join(rooms)})\.(\w+)", text)) - {("audit", "html")}
    assert len(named) > 10
    assert not [(room, name) for room, name in named if not getattr(rooms[room], name, None)]


NEEDS = {
    "WB101": "needs candidates",
    "WB103": "needs evaluation",
    "WB104": "needs evaluation",
    "WB105": "needs guide or vectors, or losses",
    "WB106": "needs candidates",
    "WB107": "needs candidates",
    "WB108": "needs candidates",
    "WB109": "needs encoder",
    "WB112": "needs vectors, guide or candidates",
    "WB113": "needs guide or vectors",
    "WB117": "needs verdicts, or judged negatives in the collection",
    "WB118": "needs candidates",
}


@pytest.mark.parametrize("code", registry.names("check"))
def test_what_is_missing_is_said(code, clean):
    check, given = registry.get("check", code)(), Given(collection=clean)
    if code in NEEDS:
        with pytest.raises(NotAsked, match=NEEDS[code]):
            check(given)
    else:
        assert check(given).state == "clean"


OPTIONS = [
    (checks.FalseNegatives, {"threshold": 1.5}, "threshold"),
    (checks.FalseNegatives, {"most": -0.1}, "most"),
    (checks.DuplicatePositives, {"most": 2}, "most"),
    (checks.AcrossSplits, {"threshold": 0}, "threshold"),
    (checks.AcrossSplits, {"most": 2}, "most"),
    (checks.Contamination, {"piece": 0}, "piece"),
    (checks.Contamination, {"n": 0}, "n"),
    (checks.Contamination, {"most": 2}, "most"),
    (checks.WrongLabels, {"sample": 3}, "sample"),
    (checks.WrongLabels, {"seed": -1}, "seed"),
    (checks.WrongLabels, {"most": 2}, "most"),
    (checks.TooEasy, {"share": 0}, "share"),
    (checks.TooEasy, {"most": 2}, "most"),
    (checks.TooHard, {"share": 3}, "share"),
    (checks.TooHard, {"most": float("nan")}, "most"),
    (checks.Hubs, {"times": 0}, "times"),
    (checks.Hubs, {"everywhere": 2}, "everywhere"),
    (checks.Hubs, {"most": 2}, "most"),
    (checks.Truncation, {"sample": 0}, "sample"),
    (checks.Truncation, {"seed": -1}, "seed"),
    (checks.Truncation, {"most": 2}, "most"),
    (checks.Imbalance, {"largest": 0}, "largest"),
    (checks.Imbalance, {"trace": 2}, "trace"),
    (checks.Unanswerable, {"sigmas": 0}, "sigmas"),
    (checks.Unanswerable, {"most": 2}, "most"),
    (checks.OneDirection, {"k": 0}, "k"),
    (checks.OneDirection, {"most": 2}, "most"),
    (checks.OneDirection, {"sample": 1}, "sample"),
    (checks.OneDirection, {"seed": -1}, "seed"),
    (checks.EmptyTexts, {"letters": -1}, "letters"),
    (checks.EmptyTexts, {"most": 2}, "most"),
    (checks.AnswerInQuery, {"words": 0}, "words"),
    (checks.AnswerInQuery, {"most": 2}, "most"),
    (checks.MixedPrompts, {"most": 2}, "most"),
    (checks.Contradictions, {"most": 2}, "most"),
    (checks.ShortLists, {"at_least": 0}, "at_least"),
    (checks.ShortLists, {"most": 2}, "most"),
]


@pytest.mark.parametrize(("kind", "options", "argument"), OPTIONS)
def test_options_out_of_range_are_refused(kind, options, argument):
    with pytest.raises(BadArgument, match=f"`{argument}`"):
        kind(**options)


# What is given --------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_given_is_checked(clean, found, guessed):
    with pytest.raises(BadArgument, match=r"`losses`.*one row per labelled pair, 120"):
        Given(collection=clean, losses=LossStore.empty(3))
    with pytest.raises(BadArgument, match=r"must lie in \[0, 1\]"):
        Given(collection=clean, suspicion=guess(guessed, np.float32(2)))
    other = replace(found, docs=found.docs[:, ::-1].copy())
    with pytest.raises(BadArgument, match="same candidates"):
        Given(collection=clean, candidates=other, suspicion=guessed)


def test_candidates_of_other_texts_are_not_counted(clean, found, vectors):
    other = world(seed=9)
    other = replace(other, queries=other.queries.select(range(N - 1)), qrels=other.qrels[: N - 1],
                    query_groups=other.query_groups[: N - 1])  # fmt: skip
    with pytest.raises(BadData, match="candidates' queries"):
        checks.ShortLists()(Given(collection=other, candidates=found))


# WB101 ----------------------------------------------------------------------------------------


def paraphrased(clean, share=0.25):
    """Documents d1, d5, ... say what d0, d4, ... say; nobody labelled that."""
    queries, docs = (np.array(side.values) for side in looks(clean))
    twins = np.arange(0, N, round(1 / share))
    docs[twins + 1] = unit(docs[twins] + 0.2 * unit(docs[twins + 1]))
    return twins, pair_of(clean, queries, docs)


def test_wb101_finds_neighbours_of_the_positive(clean):
    twins, guide = paraphrased(clean)
    found = dense(clean, *looks(clean), k=N - 1)
    finding = checks.FalseNegatives(most=0.0)(
        Given(collection=clean, candidates=found, guide=guide)
    )
    # d1 is a false negative of q0, and d0 one of q1: their positives are near to each other.
    assert finding.state == "found"
    assert finding.count == 2 * len(twins)
    assert finding.share == pytest.approx(2 * len(twins) / found.docs.size)
    truth = {(f"q{a}", f"d{b}") for t in twins for a, b in ((t, t + 1), (t + 1, t))}
    assert ids_of(finding) <= truth
    assert "at least 60 of 14,280" in finding.says


def test_wb101_counts_probabilities(clean, guessed):
    chance = np.full(guessed.prior.shape, 0.25, dtype=np.float32)
    chance[3, 2] = 1.0
    finding = checks.FalseNegatives()(Given(collection=clean, suspicion=guess(guessed, chance)))
    assert finding.count == round(0.25 * (chance.size - 1) + 1)
    assert finding.ids[0] == ("q3", f"d{guessed.candidates.docs[3, 2]}")
    assert finding.says.startswith("about ")
    # What the suspicion holds as judged is certain.
    said = np.full(chance.shape, -1, dtype=np.int8)
    said[5] = 1
    sure = replace(guess(guessed, chance), verdict=said)
    assert checks.FalseNegatives()(Given(collection=clean, suspicion=sure)).count == K


@pytest.mark.slow
def test_wb101_on_a_planted_world():
    candidates, collection, guides, truth = toy_audit()
    found = suspicion(candidates, collection, guides=guides)
    finding = checks.FalseNegatives()(Given(collection=collection, suspicion=found))
    assert finding.state == "found"
    assert 0.7 * truth.sum() < finding.count < 1.4 * truth.sum()
    queries = {str(name): place for place, name in enumerate(collection.query_ids)}
    docs = {str(name): place for place, name in enumerate(collection.doc_ids)}
    right = [
        truth[queries[query]][candidates.docs[queries[query]] == docs[doc]][0]
        for query, doc in finding.ids
    ]
    assert np.mean(right) >= 0.9


def test_wb101_takes_verdicts_for_certain(clean, found, vectors):
    first = [str(found.doc_ids[place]) for place in found.docs[:, 0]]
    yes = [(f"q{row}", first[row], "positive") for row in range(20)]
    given = Given(collection=clean, candidates=found, vectors=vectors,
                  verdicts=Verdicts.of(yes, judge="me"))  # fmt: skip
    assert checks.FalseNegatives()(given).count == 20
    # Judged negative counts as nothing, whatever the guide thinks.
    _, guide = paraphrased(clean)
    deep = dense(clean, *looks(clean), k=N - 1)
    no = [
        (f"q{a}", f"d{b}", "negative") for t in range(0, N, 4) for a, b in ((t, t + 1), (t + 1, t))
    ]
    given = Given(collection=clean, candidates=deep, guide=guide,
                  verdicts=Verdicts.of(no, judge="me"))  # fmt: skip
    assert checks.FalseNegatives()(given).count == 0


def test_wb101_sees_equal_texts_without_groups(clean, vectors):
    docs = sentences(N, 101, words=20)
    docs[7] = docs[3]
    rows = [{"query": q, "positive": d, "query_id": f"q{i}", "positive_id": f"d{i}"}
            for i, (q, d) in enumerate(zip(sentences(N, 1), docs, strict=True))]  # fmt: skip
    twice = replace(from_rows(rows), doc_groups=np.arange(N))
    pair = pair_of(twice, vectors[0].values, vectors[1].values)
    found = dense(twice, *pair, k=N - 1)
    finding = checks.FalseNegatives(most=0.0, threshold=1.0)(
        Given(collection=twice, candidates=found, vectors=pair)
    )
    assert ids_of(finding) == {("q3", "d7"), ("q7", "d3")}


def test_wb101_leaves_dropped_candidates_out(clean):
    _, guide = paraphrased(clean)
    found = dense(clean, *looks(clean), k=N - 1)
    dropped = replace(found, weight=np.zeros_like(found.weight))
    finding = checks.FalseNegatives()(Given(collection=clean, candidates=dropped, guide=guide))
    assert (finding.count, finding.state) == (0, "clean")


# WB102 ----------------------------------------------------------------------------------------


def test_wb102_finds_pairs_labelled_twice(clean):
    texts = zip(sentences(N, 1), sentences(N, 2), strict=True)
    rows = [{"query": q, "positive": d, "query_id": f"q{i}", "positive_id": f"d{i}"}
            for i, (q, d) in enumerate(texts)]  # fmt: skip
    rows.append({**rows[4], "positive_id": "again"})
    rows.append({**rows[5], "query_id": "again", "positive": "something else"})
    del rows[-1]["positive_id"]
    twice = from_rows(rows)
    finding = checks.DuplicatePositives()(Given(collection=twice))
    assert finding.state == "found"
    assert finding.count == 1 + 2
    assert ("q4", "again") in ids_of(finding) or ("q4", "d4") in ids_of(finding)
    assert {pair[0] for pair in ids_of(finding)} == {"q4", "q5", "again"}


def test_wb102_parts_by_brute_force(rng):
    for _ in range(30):
        rows = np.sort(rng.integers(0, 8, 20))
        groups = rng.integers(0, 4, 8)[rows]
        docs = rng.integers(0, 5, 20)
        seen, again = set(), []
        for cell in zip(groups.tolist(), docs.tolist(), strict=True):
            again.append(cell in seen)
            seen.add(cell)
        assert repeated_pairs(groups, docs).tolist() == again
        have = {row: set(docs[rows == row].tolist()) for row in rows.tolist()}
        lacking = [
            any(doc not in have[other] for other in have if groups[rows == other][0] == group)
            for group, doc in zip(groups.tolist(), docs.tolist(), strict=True)
        ]
        assert split_answers(rows, groups, docs).tolist() == lacking


# WB103 and WB104 ------------------------------------------------------------------------------


def leaking(count=5):
    """An evaluation whose first queries were copied from training, all but their last word."""
    texts = sentences(N, 51)
    for place, copy in enumerate(sentences(N, 1)[:count]):
        texts[place] = " ".join([*copy.split()[:-1], "other"])
    return world(queries=texts, seed=51, name="test", docs=sentences(N, 999, words=20))


def renamed(collection):
    """The same texts, document ids of their own."""
    corpus = collection.corpus.to_dict()
    corpus["id"] = [f"other {name}" for name in corpus["id"]]
    return replace(collection, corpus=type(collection.corpus).from_dict(corpus))


def test_wb103_finds_near_duplicates_of_training_queries(clean):
    finding = checks.AcrossSplits(threshold=0.6)(Given(collection=clean, evaluation=leaking()))
    assert (finding.state, finding.count) == ("found", 5)
    assert finding.share == pytest.approx(5 / N)
    assert ids_of(finding) == {(f"q{place}", f"q{place}") for place in range(5)}
    assert "not compared" in finding.says


@pytest.mark.slow
def test_wb103_compares_answers_where_each_side_has_its_own(clean):
    copied = renamed(world(queries=sentences(N, 70), name="test"))
    finding = checks.AcrossSplits()(Given(collection=clean, evaluation=copied))
    assert finding.count == N
    assert ("other d3", "d3") in ids_of(finding)
    # A shared corpus is no leak.
    shared = world(queries=sentences(N, 70), name="test")
    assert checks.AcrossSplits()(Given(collection=clean, evaluation=shared)).state == "clean"


def test_wb103_takes_the_nearest():
    near = "one two three four five six seven eight nine"
    assert seen_before([near], [near + " ten", near], 0.5).tolist() == [1]
    assert seen_before([near], [], 0.5).tolist() == [-1]
    assert seen_before([], [near], 0.5).tolist() == []


def test_wb104_finds_long_pieces(clean):
    given = Given(collection=clean, evaluation=leaking())
    finding = checks.Contamination()(given)
    assert (finding.state, finding.count) == ("found", 5)
    assert ids_of(finding) == {(f"q{place}",) for place in range(5)}
    assert "92 % of it" in finding.examples[0].note  # 11 of 12 words
    assert checks.Contamination(piece=0.95)(given).state == "clean"


def test_wb104_says_what_it_could_not_judge(clean):
    brief = world(queries=[f"word {n}" for n in range(N)], seed=60, name="test")
    finding = checks.Contamination()(Given(collection=clean, evaluation=brief))
    assert "(120 of fewer than 8 tokens were not judged)" in finding.says


def test_wb104_looks_at_answers_of_their_own(clean):
    copied = renamed(world(queries=sentences(N, 70), name="test"))
    finding = checks.Contamination()(Given(collection=clean, evaluation=copied))
    assert finding.count == N
    assert all(name.startswith("other") for (name,) in ids_of(finding))


# WB105 ----------------------------------------------------------------------------------------


def mislabelled(share, seed=3, count=600):
    """Pairs of which some were given the document of another query."""
    draw = np.random.default_rng(seed)
    wrong = np.sort(draw.choice(count, int(share * count), replace=False))
    answers = np.arange(count)
    answers[wrong] = np.roll(wrong, 1)
    rows = [{"query": f"q {n}", "positive": f"d {answers[n]}", "query_id": f"q{n}",
             "positive_id": f"d{answers[n]}"} for n in range(count)]  # fmt: skip
    made = from_rows(rows)
    truth = unit(draw.standard_normal((count, DIM)))
    order = [int(name[1:]) for name in made.doc_ids]
    docs = unit(truth[order] + 0.8 * unit(draw.standard_normal(truth.shape)))
    return wrong, made, pair_of(made, truth, docs)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_wb105_estimates_how_many_labels_are_wrong(share):
    wrong, made, guide = mislabelled(share)
    finding = checks.WrongLabels()(Given(collection=made, guide=guide))
    assert finding.state == "found"
    # A binomial's spread: half of the wrong ones are seen, and doubled.
    assert abs(finding.count - len(wrong)) < 4 * np.sqrt(len(wrong))
    assert {pair[0] for pair in ids_of(finding)} <= {f"q{place}" for place in wrong}


def test_wb105_levels_by_brute_force():
    _, made, guide = mislabelled(0.3, count=40)
    levels = chance_levels(Given(collection=made, guide=guide), sample=1000, seed=0)
    table = guide[0].values @ guide[1].values.T
    for (query, doc), level in zip(made.pairs, levels, strict=True):
        assert level == pytest.approx((table[query] > table[query, doc] + 1e-6).mean())
    assert wrong_labels(np.full(4, 0.9)) == 4  # never more than there are


def test_wb105_reads_losses(clean):
    draw = np.random.default_rng(0)
    values = np.exp(np.where(np.arange(N) < 100, -3.0, 1.0) + draw.normal(size=N) / 4)
    losses = LossStore(values=values[:, None].astype(np.float32))
    finding = checks.WrongLabels()(Given(collection=clean, losses=losses))
    assert finding.state == "found"
    assert finding.count == pytest.approx(20, abs=1)
    assert {pair[0] for pair in ids_of(finding)} <= {f"q{place}" for place in range(100, N)}
    both = checks.WrongLabels()(Given(collection=clean, losses=losses, guide=looks(clean)))
    assert both.state == "clean"  # the guide decides, the losses are told
    assert "by their losses, 20 of 120" in both.says
    with pytest.raises(NotAsked, match="or losses"):
        checks.WrongLabels()(Given(collection=clean, losses=LossStore.empty(N)))


# WB106 and WB107 ------------------------------------------------------------------------------


def test_wb106_finds_random_negatives(clean, vectors):
    far = dense(clean, *vectors, k=N - 1)
    finding = checks.TooEasy()(Given(collection=clean, candidates=far, vectors=vectors))
    assert finding.state == "found"
    table = vectors[0].values @ vectors[1].values.T
    own = np.diag(table)[:, None]
    easy = (table < 0.5 * own) & ~np.eye(N, dtype=bool)
    assert finding.count == pytest.approx(easy.sum(), abs=2)


def test_wb107_finds_negatives_above_the_positive(clean):
    queries, docs = (np.array(side.values) for side in looks(clean))
    docs[1::4], docs[0::4] = docs[0::4].copy(), docs[1::4].copy()  # the labels of half are swapped
    pair = pair_of(clean, queries, docs)
    finding = checks.TooHard()(
        Given(collection=clean, candidates=dense(clean, *pair, k=5), vectors=pair)
    )
    assert finding.state == "found"
    assert finding.count >= N / 2
    assert {int(one[0][1:]) % 4 for one in finding.ids} <= {0, 1}


def test_wb107_without_vectors_takes_the_miners_scores():
    words = ["red", "green", "blue", "black"]
    rows = [{"query": f"{word} car", "positive": f"{word} thing", "positive_id": f"d{word}"}
            for word in words]  # fmt: skip
    rows += [
        {"query": "other", "positive": f"a {word} car", "positive_id": f"n{word}"} for word in words
    ]
    made = from_rows(rows)
    finding = checks.TooHard()(Given(collection=made, candidates=bm25(made, k=3)))
    assert finding.state == "found"
    assert {one[1] for one in finding.ids} >= {f"n{word}" for word in words}
    assert "weakest labelled positive, by the score of bm25" in finding.says


def test_hardness_without_any_score_is_not_asked(clean, found):
    blind = replace(found, positive_scores=np.full(N, np.nan, dtype=np.float32))
    with pytest.raises(NotAsked, match="candidates with scores"):
        checks.TooEasy()(Given(collection=clean, candidates=blind))


# WB108 ----------------------------------------------------------------------------------------


def test_wb108_finds_a_hub(clean, vectors):
    queries, docs = (np.array(side.values) for side in vectors)
    docs[:, 0] /= 3
    docs[5] = unit(queries.mean(axis=0, keepdims=True))[0]
    queries = unit(queries + 0.8 * docs[5])
    found = dense(clean, *pair_of(clean, queries, docs), k=K)
    finding = checks.Hubs()(Given(collection=clean, candidates=found))
    assert finding.state == "found"
    assert finding.ids[0] == ("d5",)
    assert finding.count >= 100


def test_wb108_shows_the_fullest_first(clean, found):
    docs = np.array(found.docs)
    docs[:, 0], docs[:90, 1] = 5, 6
    finding = checks.Hubs()(Given(collection=clean, candidates=replace(found, docs=docs)))
    assert finding.ids == (("d5",), ("d6",))
    assert int(finding.examples[0].note.split()[1]) >= N


# WB109 ----------------------------------------------------------------------------------------


def test_wb109_counts_what_is_cut(encoder):
    docs = sentences(N, 101, words=20)
    for place in range(10):
        docs[place] = " ".join(sentences(1, 200 + place, words=25 + place))
    made = world(docs=docs)
    finding = checks.Truncation(most=0.0)(Given(collection=made, encoder=encoder))
    truth = sum(len(text.split()) > 24 for text in made.doc_texts)
    assert (finding.state, finding.count) == ("found", truth)
    assert finding.ids[0] == ("d9",)  # the longest first
    assert checks.Truncation(most=0.5)(Given(collection=made, encoder=encoder)).state == "clean"


def test_wb109_estimates_from_a_draw(encoder):
    docs = [" ".join(sentences(1, 200 + place, words=20 + 10 * (place % 2))) for place in range(N)]
    finding = checks.Truncation(sample=60)(Given(collection=world(docs=docs), encoder=encoder))
    assert finding.count == pytest.approx(N / 2, abs=4 * 8)
    assert "estimated from 60 texts a side" in finding.says


# WB110 ----------------------------------------------------------------------------------------


def test_wb110_finds_a_drowned_source():
    sources = ["big"] * (N - 3) + ["small"] * 3
    finding = checks.Imbalance()(Given(collection=world(sources=sources)))
    assert (finding.state, finding.count) == ("found", 3)
    assert ids_of(finding) == {(f"q{place}",) for place in range(N - 3, N)}
    even = ["big"] * 60 + ["small"] * 60
    assert checks.Imbalance()(Given(collection=world(sources=even))).state == "clean"
    assert checks.Imbalance()(Given(collection=world(sources=["one"] * N))).state == "clean"


def test_wb110_leaves_stray_kinds_out():
    sources = ["big"] * (N - 4) + ["small"] * 3 + ["stray"]
    finding = checks.Imbalance(trace=0.02)(Given(collection=world(sources=sources)))
    assert (finding.state, finding.count) == ("found", 3)
    assert finding.says.startswith("2 sources")


def test_wb110_finds_a_drowned_script():
    queries = sentences(N, 1)
    queries[3], queries[4] = "где моя сумка сегодня", "私の鞄はどこですか"
    finding = checks.Imbalance()(Given(collection=world(queries=queries)))
    assert (finding.state, finding.count) == ("found", 2)
    assert {example.note for example in finding.examples} == {"script CYRILLIC", "script JAPANESE"}


def test_scripts_by_majority():
    texts = ["α β a b c", "αβγ a", "", "12 !", "漢字", "😀", "ẞ" * 5000 + "я" * 9000]
    assert scripts(texts).tolist() == ["LATIN", "GREEK", "", "", "HAN", "", "LATIN"]
    assert scripts([]).tolist() == []
    many = scripts(["да"] * 5000 + ["yes"] * 5000)
    assert (many == "CYRILLIC").sum() == 5000
    assert effective(np.array([0.25] * 4)) == pytest.approx(4)


# WB111 ----------------------------------------------------------------------------------------


def test_wb111_finds_queries_without_an_answer(clean, vectors):
    qrels = clean.qrels.tolil()
    for place in range(4):
        qrels[place, place] = 0
    lacking = replace(clean, qrels=type(clean.qrels)(qrels.tocsr()))
    finding = checks.Unanswerable()(Given(collection=lacking))
    assert (finding.state, finding.count) == ("found", 4)
    assert ids_of(finding) == {(f"q{place}",) for place in range(4)}
    of_test = checks.Unanswerable()(Given(collection=clean, evaluation=lacking))
    assert (of_test.count, of_test.share) == (4, pytest.approx(4 / (2 * N)))


def test_wb111_finds_queries_far_from_everything(clean, vectors):
    queries, docs = (np.array(side.values) for side in vectors)
    axis = np.zeros(DIM, dtype=np.float32)
    axis[-1] = 1
    docs[:, -1] = 0
    queries[:, -1] = 0
    queries[10], queries[20] = axis, axis
    pair = pair_of(clean, queries, docs)
    given = Given(collection=clean, vectors=pair, candidates=dense(clean, *pair, k=K))
    finding = checks.Unanswerable()(given)
    assert (finding.state, finding.count) == ("found", 2)
    assert ids_of(finding) == {("q10",), ("q20",)}


def test_far_below_knows_nothing_of_nan():
    assert not far_below(np.full(3, np.nan, dtype=np.float32), 3.5).any()
    assert far_below(np.array([1, 1, 1, np.nan, 0], dtype=np.float32), 3.5).tolist()[-2:] == [
        False,
        True,
    ]


# WB112 ----------------------------------------------------------------------------------------


def test_wb112_knows_another_encoder(clean):
    encoder = scratch(clean.query_texts, vocab_size=300, dim=8)
    vectors = encode_collection(encoder, clean, progress=False)
    assert (
        checks.StaleVectors()(Given(collection=clean, vectors=vectors, encoder=encoder)).count == 0
    )
    next(encoder.parameters()).data.mul_(1.5)
    finding = checks.StaleVectors()(Given(collection=clean, vectors=vectors, encoder=encoder))
    assert (finding.state, finding.count, finding.share) == ("found", 2 * N, 1.0)
    assert "which is not the one at hand" in finding.says
    # A guide is another model on purpose.
    guided = Given(collection=clean, guide=vectors, encoder=encoder)
    assert checks.StaleVectors()(guided).state == "clean"


def test_wb112_knows_age_and_prompt(clean):
    encoder = scratch(clean.query_texts, vocab_size=300, dim=8)
    queries, docs = encode_collection(encoder, clean, progress=False)
    encoder.age = 7
    old = checks.StaleVectors()(Given(collection=clean, vectors=(queries, docs), encoder=encoder))
    assert "age 0 steps, the encoder has 7" in old.says
    encoder.age = 0
    said = (replace(queries, prompt="query: "), docs)
    other = checks.StaleVectors()(Given(collection=clean, vectors=said, encoder=encoder))
    assert "prompt 'query: ' where the encoder puts ''" in other.says
    assert other.count == N


def test_wb112_knows_other_ids_and_bad_numbers(clean, vectors):
    ids = clean.doc_ids.copy()
    ids[:2] = ids[:2][::-1]
    values = np.array(vectors[0].values)
    values[4], values[5, 0] = 0, np.nan
    pair = (replace(vectors[0], values=values), replace(vectors[1], ids=ids))
    finding = checks.StaleVectors()(Given(collection=clean, guide=pair))
    assert (finding.state, finding.count) == ("found", 4)
    assert "2 ids differ" in finding.says
    assert "2 are all zeros or not finite" in finding.says


def test_wb112_knows_old_candidates(clean, found):
    changed = replace(clean, doc_groups=np.zeros(N, dtype=np.int64))
    finding = checks.StaleVectors()(Given(collection=changed, candidates=found))
    assert (finding.state, finding.count) == ("found", N)
    assert "mined before texts, labels or groups changed" in finding.says
    short_ids = replace(found, query_ids=found.query_ids[::-1].copy())
    assert (
        "120 query ids differ"
        in checks.StaleVectors()(Given(collection=clean, candidates=short_ids)).says
    )


# WB113 ----------------------------------------------------------------------------------------


def offset_world(clean, most):
    """Scores of each query are raised by a number of its own, up to `most`."""
    queries, docs = (np.array(side.values) for side in looks(clean))
    raised = np.linspace(-most, most, N, dtype=np.float32)[:, None]
    return pair_of(
        clean,
        unit(np.hstack([queries, raised])),
        unit(np.hstack([docs, np.ones((N, 1), dtype=np.float32)])),
    )


def test_wb113_finds_a_model_that_knows_one_way_only(clean):
    given = Given(collection=clean, vectors=offset_world(clean, 3.0))
    finding = checks.OneDirection()(given)
    assert finding.state == "found"
    assert finding.share > 0.3
    assert "100 % are found from query to document" in finding.says
    # The pairs lost are those of the queries that are raised least.
    assert max(int(one[0][1:]) for one in finding.ids) < N / 2
    assert checks.OneDirection(most=0.9)(given).state == "clean"
    assert (
        checks.OneDirection()(Given(collection=clean, vectors=offset_world(clean, 0.0))).state
        == "clean"
    )


def test_wb113_takes_the_vectors_of_what_it_draws(clean):
    pair = offset_world(clean, 3.0)
    small, sides = drawn(clean, pair, 50, seed=0)
    assert len(small.queries) == 50
    for side, whole, ids in zip(sides, pair, (clean.query_ids, clean.doc_ids), strict=True):
        for name, row in zip(side.ids, side.values, strict=True):
            assert (row == whole.values[ids.tolist().index(name)]).all()
    assert drawn(clean, pair, N, seed=0)[1] is pair
    finding = checks.OneDirection(sample=50)(Given(collection=clean, vectors=pair))
    assert finding.state == "found"
    assert "of 50 pairs" in finding.says


# WB114 to WB118 -------------------------------------------------------------------------------


def test_wb114_finds_texts_without_content(collection_of):
    made = collection_of({(0, 0): 1, (1, 1): 1}, queries=2, docs=4, query_texts=["good", "x"],
                         doc_texts=["fine", "", " ?!", "ok"])  # fmt: skip
    finding = checks.EmptyTexts()(Given(collection=made))
    assert (finding.state, finding.count) == ("found", 3)
    assert ids_of(finding) == {("q1",), ("d1",), ("d2",)}
    assert checks.EmptyTexts(letters=0)(Given(collection=made)).count == 2


def test_wb115_finds_answers_in_queries():
    queries, docs = sentences(N, 1), sentences(N, 101, words=20)
    for place in range(10):
        docs[place] = f"{docs[place]} {queries[place].upper()}, and so on"
    docs[10] = " ".join(queries[11].split()[:4])  # of another query: no leak
    docs[12] = " ".join(queries[12].split()[:4])
    finding = checks.AnswerInQuery()(Given(collection=world(queries=queries, docs=docs)))
    assert (finding.state, finding.count) == ("found", 11)
    assert "the query in 10, the document in 1" in finding.says
    assert ("q0", "d0") in ids_of(finding)


def test_contained_looks_at_whole_words():
    assert not contained("one two thre", "one two three", 3)
    assert contained("one two three", "(one two three)".strip("("), 3)
    assert not contained("one two", "one two three", 3)
    assert contained("ONE", "one", 3)
    assert not contained("", "", 3)


def test_wb116_finds_prompts_on_some_texts():
    queries = sentences(N, 1)
    for place in range(3):
        queries[place] = "query: " + queries[place]
    finding = checks.MixedPrompts()(Given(collection=world(queries=queries)))
    assert (finding.state, finding.count) == ("found", 3)
    every = [f"query: {text}" for text in sentences(N, 1)]
    assert checks.MixedPrompts()(Given(collection=world(queries=every))).state == "clean"
    every[5] = "no prompt here"
    odd = checks.MixedPrompts()(Given(collection=world(queries=every)))
    assert ids_of(odd) == {("q5",)}


def test_wb116_finds_prompts_that_come_twice():
    every = [f"query: {text}" for text in sentences(N, 1)]
    plain = scratch(every, vocab_size=300, dim=8)
    twice = Encoder(plain.body, plain.tokenizer, prompts={"query": "query: "})
    finding = checks.MixedPrompts()(Given(collection=world(queries=every), encoder=twice))
    assert (finding.state, finding.count) == ("found", N)
    assert "adds its own" in finding.says
    assert checks.MixedPrompts()(Given(collection=world(), encoder=twice)).state == "clean"


def test_prompts_that_models_know():
    known = [
        "search_document: a", "Represent this sentence for searching relevant passages: a",
        "title: none | text: a", "task: search result | query: a", "Instruct: b\nQuery: a",
        "Passage : a",
    ]  # fmt: skip
    assert prompted(known).all()
    assert not prompted(["Note: a", "queries: a", "a query: b", "", "Represent: a"]).any()


def test_wb117_finds_labels_that_judges_contradict(clean):
    rows = [("q0", "d0", "positive"), ("q0", "d0", "negative"), ("q1", "d1", "positive"),
            ("q2", "d2", "unsure"), ("q3", "d9", "positive"),
            ("gone", "d1", "negative")]  # fmt: skip
    finding = checks.Contradictions()(
        Given(collection=clean, verdicts=Verdicts.of(rows, judge="me"))
    )
    assert (finding.state, finding.count, finding.share) == ("found", 1, 0.5)
    assert ids_of(finding) == {("q0", "d0")}


def test_wb117_finds_pairs_labelled_both_ways(collection_of):
    grades = {(0, 0): 1, (0, 1): 0, (1, 2): 1, (1, 3): 0}
    made = collection_of(grades, queries=2, docs=4, doc_texts=["same", "same", "one", "two"])
    finding = checks.Contradictions()(Given(collection=made))
    assert (finding.count, finding.share) == (1, 0.5)
    assert ids_of(finding) == {("q0", "d1")}


def test_wb117_without_any_label(clean):
    bare = replace(clean, qrels=clean.qrels * 0)
    bare.qrels.eliminate_zeros()
    rows = [("q0", "d0", "positive")]
    given = Given(collection=bare, verdicts=Verdicts.of(rows, judge="me"))
    assert checks.Contradictions()(given).count == 0


def test_wb118_finds_queries_without_negatives(clean, found):
    weight = found.weight.copy()
    weight[:3] = 0
    weight[3, 1:] = 0
    given = Given(collection=clean, candidates=replace(found, weight=weight))
    finding = checks.ShortLists()(given)
    assert (finding.state, finding.count) == ("found", 3)
    assert ids_of(finding) == {("q0",), ("q1",), ("q2",)}
    assert checks.ShortLists(at_least=2)(given).count == 4


# Small parts, and real collections ------------------------------------------------------------


def test_small_parts():
    assert of(0, 0, "rows") == "0 of 0 rows (0 %)"
    assert of(999, 1000, "rows") == "999 of 1,000 rows (99.9 %)"
    assert short("x" * 10**6).endswith("...")
    with pytest.raises(BadArgument, match="it must be a list of codes"):
        check_codes("mute", "WB101", ["WB101"])


def test_known_graph_joins_equal_texts(clean):
    given = Given(collection=clean)
    assert isinstance(given.known, KnownPositives)
    assert given.known.positives.shape == (N, N)


def judged(shared, root, name, qrels=None):
    folder = shared / "data" / name
    made = read_beir(folder, qrels=qrels and folder / qrels, split="train")
    encoder = Encoder.load("all-MiniLM-L6-v2", device="cpu")
    vectors = encode_collection(encoder, made, cache=VectorCache(root / "data" / "vectors"))
    return made, vectors, dense(made, *vectors, k=30)


@pytest.mark.shared
@pytest.mark.slow
def test_wb101_on_hidden_positives(shared, root):
    """With 30 % of clinc150's positives hidden it finds them, with all of them there nothing."""
    for qrels, state in (("planted/qrels/train.tsv", "found"), (None, "clean")):
        made, vectors, found = judged(shared, root, "clinc150", qrels)
        finding = checks.FalseNegatives()(Given(collection=made, candidates=found, vectors=vectors))
        assert finding.state == state, finding.says
        if qrels:
            lines = (shared / "data/clinc150/planted/hidden.tsv").read_text("utf-8").splitlines()
            hidden = {tuple(line.split("\t")[:2]) for line in lines[1:]}
            assert len(ids_of(finding) & hidden) >= 9  # of ten examples


@pytest.mark.shared
@pytest.mark.slow
def test_what_cranfield_is_known_for(shared, root):
    """Empty documents, and labels that no guide understands."""
    made, vectors, _ = judged(shared, root, "cranfield")
    given = Given(collection=made, vectors=vectors)
    assert ids_of(checks.EmptyTexts()(given)) == {("471",), ("995",)}
    assert checks.WrongLabels()(given).state == "found"
