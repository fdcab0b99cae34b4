"""Votes over permuted batches: gold numbers, laws, and a simulated judge at the paper's sizes."""

import json
from collections import Counter

import numpy as np
import pytest

from workbench.audit.judges import Answer, Tally, judge_batch, vote
from workbench.data.worlds.erring_judge import erring_judge
from workbench.errors import BadArgument

BOTH = (True, False)
ANSWER = {(yes, sure): Answer(label=yes, sure=sure) for yes in BOTH for sure in BOTH}


def rounds_of(case):
    return [
        {f"i{item}": ANSWER[label == "1", sure == "c"] for item, (label, sure) in enumerate(one)}
        for one in case["inputs"]["rounds"]
    ]


@pytest.fixture
def gold(shared):
    cases = json.loads((shared / "gold" / "llm.json").read_text(encoding="utf-8"))
    return {case["method"]: case for case in cases}


@pytest.mark.shared
def test_gold_seas(gold):
    case = gold["batchprompt.seas"]
    wanted, rounds = case["expected"], rounds_of(case)
    turns = iter(rounds)
    asked_so_far = []

    def ask(names):
        asked_so_far.append(sorted(names))
        return next(turns)

    ballot = judge_batch(list(rounds[0]), ask, batch=4, rounds=5, how="seas")
    for tallies in (vote(rounds, "seas"), ballot.tallies):
        votes = [{"1": tally.yes, "0": tally.no} for tally in tallies.values()]
        assert [{key: n for key, n in one.items() if n} for one in votes] == wanted["votes"]
        assert [tally.rounds for tally in tallies.values()] == wanted["rounds_used"]
        assert [str(int(tally.label)) for tally in tallies.values()] == wanted["final"]
    assert list(ballot.batch_sizes) == wanted["batch_sizes"]
    assert (ballot.slots, ballot.calls) == (wanted["item_slots"], wanted["llm_calls"])
    assert asked_so_far[3] == ["i2", "i3"]
    assert ballot.unresolved == []


@pytest.mark.shared
def test_gold_majority_and_self_weighted(gold):
    case = gold["batchprompt.bpe_majority_and_sw"]
    wanted, rounds = case["expected"], rounds_of(case)
    final = [str(int(tally.label)) for tally in vote(rounds).values()]
    assert final == wanted["majority"]
    weighted = vote(rounds, "self_weighted", alpha=case["inputs"]["alpha"])
    assert [str(int(tally.label)) for tally in weighted.values()] == wanted["sw_final"]
    for tally, votes in zip(weighted.values(), wanted["sw_votes"], strict=True):
        found = {"1": tally.yes, "0": tally.no}
        assert found == pytest.approx(votes, abs=case["tolerance"])


def counted_by_hand(rounds, item, how, alpha):
    """(yes, no, rounds, stopped), straight from the description."""
    yes = no = used = 0
    before = None
    for one in rounds:
        used += 1
        answer = one.get(item)
        if answer is not None:
            weight = 1 if answer.sure or how != "self_weighted" else alpha
            yes, no = yes + weight * answer.label, no + weight * (not answer.label)
            if how == "seas" and answer.sure and before is not None and before.sure:
                if before.label == answer.label:
                    return yes, no, used, True
        before = answer
    return yes, no, used, False


@pytest.mark.parametrize("how", ["majority", "self_weighted", "seas"])
def test_a_vote_equals_the_count_by_hand(rng, how):
    choices = [None, *ANSWER.values()]
    names = [f"i{number}" for number in range(300)]
    drawn = rng.integers(0, len(choices), (7, len(names)))
    rounds = [
        {name: choices[pick] for name, pick in zip(names, row, strict=True) if choices[pick]}
        for row in drawn
    ]
    tallies = vote(rounds, how, alpha=0.3)
    assert len(tallies) > 290
    for name, tally in tallies.items():
        yes, no, used, stopped = counted_by_hand(rounds, name, how, 0.3)
        assert (tally.yes, tally.no) == pytest.approx((yes, no))
        assert (tally.rounds, tally.stopped) == (used, stopped)


def test_a_tie_and_silence_have_no_label():
    yes, no = ANSWER[True, True], ANSWER[False, True]
    assert vote([{"a": yes}, {"a": no}])["a"].label is None
    assert Tally().label is None
    unsure = ANSWER[False, False]
    tied = vote([{"a": unsure}] * 5 + [{"a": yes}], "self_weighted", alpha=0.2)["a"]
    assert tied.label is None  # 5 x .2 against 1, whatever the last bit of the sum
    assert vote([]) == {}


def test_a_round_without_an_answer_breaks_the_run():
    yes = ANSWER[True, True]
    tally = vote([{"a": yes, "b": yes}, {"b": yes}, {"a": yes}, {"a": yes}], "seas")
    assert (tally["a"].rounds, tally["a"].yes, tally["a"].stopped) == (4, 3, True)
    assert tally["b"].rounds == 2


def test_batches_are_permuted_and_repeatable():
    items = [f"i{number}" for number in range(20)]

    def asked(seed):
        prompts = []

        def ask(names):
            prompts.append(tuple(names))
            return {name: ANSWER[True, False] for name in names}

        judge_batch(items, ask, batch=8, rounds=3, seed=seed)
        return prompts

    prompts = asked(0)
    assert [len(one) for one in prompts] == [8, 8, 4] * 3
    for place in range(3):
        orders = prompts[place::3]
        assert len(set(orders)) == 3  # another order in every round
        assert {frozenset(order) for order in orders} == {
            frozenset(items[8 * place : 8 * place + 8])
        }
    assert asked(0) == prompts
    few = []
    judge_batch(["a", "b", "c"], lambda names: few.append(tuple(names)) or {}, rounds=5, again=0)
    assert len(set(few)) == 5  # of six orders, none twice
    assert asked(1) != prompts


def test_answers_are_kept_by_name_and_nothing_is_made_up():
    truth = {f"i{number}": number % 3 == 0 for number in range(10)}
    times = Counter()

    def ask(names):
        times.update(names)
        told = {name: ANSWER[truth[name], True] for name in reversed(names)}
        told.pop("i4", None)  # never answered
        if times["i5"] < 2:
            told.pop("i5", None)  # answered from its second time on
        return {**told, "i99": ANSWER[True, True]}  # never asked

    ballot = judge_batch(list(truth), ask, batch=4, rounds=3, again=2, how="majority")
    assert list(ballot.tallies) == list(truth)
    assert ballot.unresolved == ["i4"]
    assert ballot.tallies["i4"] == Tally(rounds=5)
    assert ballot.tallies["i5"].yes + ballot.tallies["i5"].no == 3
    assert {name: t.label for name, t in ballot.tallies.items() if name != "i4"} == {
        name: label for name, label in truth.items() if name != "i4"
    }
    # three rounds of three batches; then i4 and i5, then i4 alone
    assert ballot.batch_sizes == (4, 4, 2) * 3 + (2, 1)
    assert judge_batch(list(truth), lambda names: {}, rounds=1, again=0).calls == 1
    assert judge_batch([], ask).calls == 0


def test_a_prompt_answers_only_for_its_own_items():
    def ask(names):
        foreign = {name: ANSWER[True, True] for name in ("a", "b", "c")}
        return foreign if "a" in names else {}

    ballot = judge_batch(["a", "b", "c"], ask, batch=2, rounds=1, again=0)
    assert ballot.unresolved == ["c"]


def simulated_judge(world):
    """Answers of the planted judge, by name."""
    times = np.zeros(len(world.truth), dtype=np.int64)

    def ask(names):
        items = np.array([int(name) for name in names])
        said, sure = world.read(items, times[items])
        times[items] += 1
        return {
            name: ANSWER[yes, certain]
            for name, yes, certain in zip(names, said.tolist(), sure.tolist(), strict=True)
        }

    return ask


def test_the_planted_judge_errs_as_it_says():
    world = erring_judge(items=32_000, persistent=0.1, times=1)
    rows = np.arange(32_000).reshape(-1, 32)
    nobody = np.zeros(32, dtype=np.int64)
    read = [world.read(some, nobody) for some in rows]
    said, sure = (np.array(part) for part in zip(*read, strict=True))
    right = said == world.truth[rows]
    assert not right[world.persistent[rows]].any()
    fresh = ~world.persistent[rows]
    share = (right & fresh).sum(axis=0) / fresh.sum(axis=0)
    places = 0.88 - 0.16 * np.sin(np.pi * (np.arange(32) + 0.5) / 32)
    assert np.abs(share - places).max() < 0.06
    assert sure[right].mean() == pytest.approx(0.85, abs=0.01)
    assert sure[~right].mean() == pytest.approx(0.4, abs=0.02)
    with pytest.raises(BadArgument, match="`persistent` is 2, but it must be <= 1"):
        erring_judge(persistent=2)
    with pytest.raises(BadArgument, match="`items` is 0, but it must be a whole number >= 1"):
        erring_judge(items=0)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.12])
def test_the_simulated_judge_at_the_thresholds(share):
    options = {
        "one": {"rounds": 1, "how": "majority"},
        "majority": {"rounds": 5, "how": "majority"},
        "self_weighted": {"rounds": 5, "how": "self_weighted"},
        "seas": {"rounds": 5, "how": "seas"},
    }
    found = {name: [] for name in options}
    slots = []
    for seed in range(30):
        world = erring_judge(persistent=share, seed=seed)
        items, truth = [str(number) for number in range(320)], world.truth
        for name, option in options.items():
            judge = simulated_judge(world)
            ballot = judge_batch(items, judge, batch=32, seed=seed, **option)
            said = [ballot.tallies[item].label for item in items]
            found[name].append(np.mean(np.array(said, dtype=object) == truth.astype(object)))
            if name == "seas":
                slots.append(ballot.slots / (5 * 320))
    one, majority, weighted, seas = (np.array(found[name]) for name in options)
    assert (majority - one).min() >= 0.06
    assert (seas - one).min() >= 0.06
    assert (majority - seas).max() <= 0.04
    assert max(slots) <= 0.70
    assert weighted.mean() > majority.mean()
    if share:  # no vote brings back what is wrong in every order
        assert max(majority.mean(), weighted.mean(), seas.mean()) < 1 - share


def test_early_stop_saves_tokens_and_hardly_calls():
    judge = simulated_judge(erring_judge())
    ballot = judge_batch([str(number) for number in range(320)], judge, batch=32)
    assert ballot.calls >= 0.95 * 50
    assert ballot.slots <= 0.70 * 5 * 320


@pytest.mark.parametrize("how", ["any", "until_yes"])
def test_asking_until_it_says_yes_is_refused_with_the_reason(how):
    said = f"`how` is '{how}', but .*not be asked until it says yes.*precision falls.*ceiling"
    with pytest.raises(BadArgument, match=said):
        vote([], how)
    with pytest.raises(BadArgument, match=r'fLaws.*Count votes: how="majority"'):
        judge_batch(["a"], lambda names: {}, how=how)


def test_what_cannot_be_counted_is_refused():
    def never(names):
        raise AssertionError("asked before the options were read")

    with pytest.raises(BadArgument, match=r"`how` is 'seaz'.*Did you mean 'seas'"):
        judge_batch(["a"], never, how="seaz")
    with pytest.raises(BadArgument, match="`rounds` is 4, but it must be odd"):
        judge_batch(["a"], never, rounds=4)
    with pytest.raises(BadArgument, match="`rounds` is 0, but it must be a whole number >= 1"):
        judge_batch(["a"], never, rounds=0)
    for alpha, wanted in ((0, "> 0"), (1.5, "<= 1")):
        with pytest.raises(BadArgument, match=f"`alpha` is {alpha}, but it must be {wanted}"):
            vote([], alpha=alpha)
    with pytest.raises(BadArgument, match="`batch` is 0, but it must be a whole number >= 1"):
        judge_batch(["a"], never, batch=0)
    with pytest.raises(BadArgument, match="`again` is -1, but it must be a whole number >= 0"):
        judge_batch(["a"], never, again=-1)
    with pytest.raises(BadArgument, match="`seed` is -1, but it must be a whole number >= 0"):
        judge_batch(["a"], never, seed=-1)
    with pytest.raises(BadArgument, match="`items` is 'a', but each must stand once"):
        judge_batch(["a", "b", "a"], never)
