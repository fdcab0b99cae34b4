"""Asking about many items at once, several times in another order, and counting the answers.

A model that reads many items in one prompt errs more on some places of it than on others. Asked
again with the items in another order, it errs on others, and a vote mends that. What it gets
wrong in any order, no vote can mend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import BadArgument, check_choice, check_count, check_number

HOW = ("majority", "self_weighted", "seas")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A yes or no about one item, and whether the judge called itself sure of it.

    Args:
        label: true = yes.
        sure: how confident the judge said it is.
    """

    label: bool
    sure: bool = True


Round = Mapping[str, Answer]
"""Item -> answer; an item without a usable answer is not in it."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The votes on one item.

    Args:
        yes: weight of the yes votes.
        no: weight of the no votes.
        rounds: how many rounds it was in, those without a usable answer included.
        stopped: left early, answered the same way twice running and sure both times.
    """

    yes: float = 0.0
    no: float = 0.0
    rounds: int = 0
    stopped: bool = False

    @property
    def label(self) -> bool | None:
        """What has more weight; None on a tie or without a vote."""
        return None if abs(self.yes - self.no) < 1e-9 else self.yes > self.no


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """What a vote over all items came to.

    Args:
        tallies: item -> votes, in the order of the items.
        batch_sizes: items in each prompt, in the order they were sent.
    """

    tallies: dict[str, Tally]
    batch_sizes: tuple[int, ...]

    @property
    def calls(self) -> int:
        """Prompts sent, or found in a cache."""
        return len(self.batch_sizes)

    @property
    def slots(self) -> int:
        """Item places in all prompts: what tokens are paid for."""
        return sum(self.batch_sizes)

    @property
    def unresolved(self) -> list[str]:
        """Items without a label."""
        return [item for item, tally in self.tallies.items() if tally.label is None]


def check_how(how: str, *, rounds: int, alpha: float) -> None:
    """Refuse ways of counting that cannot be, before any question is asked.

    Raises:
        BadArgument: a way that takes the first yes, an unknown one, an even number of rounds, or a
            weight outside (0, 1].
    """
    if how in ("any", "any_yes", "first_yes", "until_yes"):
        wanted = (
            "a judge that errs must not be asked until it says yes: every further try adds its "
            "false alarms, so precision falls with each (at 5 % true, sensitivity .9 and "
            "specificity .95: .49, .27, .12 for 1, 3, 9 tries), and no number of tries gets above "
            "the ceiling of one (Inference Scaling fLaws; see audited_precision and best_k)"
        )
        raise BadArgument("how", how, wanted, 'Count votes: how="majority".')
    check_choice("how", how, HOW)
    check_count("rounds", rounds, mend="Try 5.")
    if rounds % 2 == 0:
        raise BadArgument("rounds", rounds, "it must be odd, so that votes do not tie", "Try 5.")
    check_number("alpha", alpha, above=0, at_most=1, mend="Try 0.2, as in the paper.")


def vote(rounds: Sequence[Round], how: str = "majority", *, alpha: float = 0.2) -> dict[str, Tally]:
    """Count the answers of several rounds.

        majority        argmax_a  sum_k 1[a_k = a]
        self_weighted   argmax_a  sum_k w_k 1[a_k = a],  w_k = 1 where sure, else alpha
        seas            majority over the rounds until an item was answered the same way twice
                        running, sure both times

    Args:
        rounds: item -> answer, in the order they were asked.
        how: "majority", "self_weighted" or "seas" (self-confidence early stop).
        alpha: weight of an answer that is not sure, 0..1 (paper: 0.2).

    Returns:
        The votes of every item that was answered at least once, in the order of appearance. A tie
        has no label. A round in which an item had no usable answer breaks its run.

    Raises:
        BadArgument: an unknown way of counting, or one that takes any yes for a yes.

    Example:
        >>> sure, unsure = Answer(label=True), Answer(label=False, sure=False)
        >>> counted = vote([{"a": sure}, {"a": unsure}, {"a": unsure}], "self_weighted")["a"]
        >>> counted.label, counted.yes, counted.no
        (True, 1.0, 0.4)

    Source: Lin, Diesendruck, Du and Abraham 2023, "BatchPrompt: Accomplish more with less".
    Its listing never updates the last confidence and permutes items that have left; the text says
    otherwise, and so does this.

    Breaks when: errors persist: an item that is hard in every order is voted wrong with one voice.
    """
    check_how(how, rounds=1, alpha=alpha)
    count = _Count(dict.fromkeys(item for one in rounds for item in one), how=how, alpha=alpha)
    for one in rounds:
        count.add([item for item in count.items if item not in count.stopped], one)
    return count.tallies()


class _Count:
    """Votes as they come in, round by round."""

    def __init__(self, items: Iterable[str], *, how: str, alpha: float) -> None:
        self.items = list(items)
        self.stopped: set[str] = set()
        self.votes = dict.fromkeys(self.items, 0)
        self._yes, self._no = dict.fromkeys(self.items, 0.0), dict.fromkeys(self.items, 0.0)
        self._rounds = dict.fromkeys(self.items, 0)
        self._before: Round = {}
        self._how, self._alpha = how, alpha

    def add(self, asked: Iterable[str], answers: Round) -> None:
        """One round: who was asked, and the usable answers."""
        for item in asked:
            self._rounds[item] += 1
            answer = answers.get(item)
            if answer is None:
                continue
            self.votes[item] += 1
            side = self._yes if answer.label else self._no
            side[item] += self._alpha if self._how == "self_weighted" and not answer.sure else 1.0
            if self._how == "seas" and answer.sure and self._before.get(item) == answer:
                self.stopped.add(item)
        self._before = answers

    def tallies(self) -> dict[str, Tally]:
        """Where every item stands."""
        return {
            item: Tally(
                yes=self._yes[item],
                no=self._no[item],
                rounds=self._rounds[item],
                stopped=item in self.stopped,
            )
            for item in self.items
        }


def judge_batch(
    items: Sequence[str],
    ask: Callable[[list[str]], Round],
    *,
    batch: int = 32,
    rounds: int = 5,
    again: int = 2,
    how: str = "seas",
    alpha: float = 0.2,
    seed: int = 0,
) -> Ballot:
    """Ask about items in batches, in several rounds of another order each, and count the answers.

    Items keep their batch; its order is drawn anew in each round from `seed`, another one than
    before where there is one, so that the same call asks the same prompts. What has left by early
    stop is not asked again and its place is not filled: prompts get shorter, hardly fewer.

    Args:
        items: names of the items, each once.
        ask: names in the order of the prompt -> answers by name. Names that were not asked are
            ignored; one without a usable answer is left out, and asked again.
        batch: items in one prompt, 8..64 usual (paper: 16, 32, 64, 160).
        rounds: votes per item, odd (paper: 1..9, 5 usual).
        again: further rounds for items that miss a vote; after them they have fewer votes, or none
            and stay unresolved.
        how: see `vote`.
        alpha: see `vote`.
        seed: of the orders.

    Returns:
        Votes per item, and the sizes of the prompts.

    Raises:
        BadArgument: an item twice, an empty batch, an even number of rounds, a way that takes any
            yes for a yes.

    Example:
        >>> def ask(names): return {name: Answer(label=name > "b") for name in names}
        >>> ballot = judge_batch(["a", "b", "c"], ask, batch=2)
        >>> [tally.label for tally in ballot.tallies.values()], ballot.batch_sizes
        ([False, False, True], (2, 1, 2, 1))

    Source: Lin, Diesendruck, Du and Abraham 2023, "BatchPrompt: Accomplish more with less".

    Breaks when: a batch has one or two items left: there are no more orders, so the judge at
    temperature 0 repeats itself and its votes are one.
    """
    check_how(how, rounds=rounds, alpha=alpha)
    check_count("batch", batch, mend="Try 32.")
    check_count("again", again, at_least=0, mend="Try 2.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    names = list(dict.fromkeys(items))
    if len(names) < len(items):
        twice = next(item for place, item in enumerate(items) if item in items[:place])
        raise BadArgument("items", twice, "each must stand once", "Ask about it once.")
    count = _Count(names, how=how, alpha=alpha)
    sizes: list[int] = []
    orders: set[tuple[str, ...]] = set()
    groups = [names[start : start + batch] for start in range(0, len(names), batch)]
    for turn in range(rounds + again):
        asked: list[str] = []
        heard: dict[str, Answer] = {}
        for place, group in enumerate(groups):
            active = [i for i in group if i not in count.stopped and count.votes[i] < rounds]
            if not active:
                continue
            active = _shuffled(active, orders, seed=(seed, turn, place))
            told = ask(list(active))
            heard |= {item: told[item] for item in active if item in told}
            asked += active
            sizes.append(len(active))
        count.add(asked, heard)
    return Ballot(tallies=count.tallies(), batch_sizes=tuple(sizes))


def _shuffled(items: list[str], seen: set[tuple[str, ...]], *, seed: tuple[int, ...]) -> list[str]:
    """The items in an order that was not asked yet, where a few draws find one."""
    rng = np.random.default_rng(seed)
    for _ in range(8):
        order = [items[index] for index in rng.permutation(len(items))]
        if tuple(order) not in seen:
            break
    seen.add(tuple(order))
    return order
