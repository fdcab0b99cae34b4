"""A language model as judge: many items in one prompt, several orders, votes, and a bill first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from workbench.audit.judges.answers import AnswerCache
from workbench.audit.judges.asking import Opinion, Question, check_questions
from workbench.audit.judges.endpoint import Connection, Endpoint
from workbench.audit.judges.prompt import (
    ANSWERS,
    VERSION,
    as_item,
    item_key,
    read_reply,
    short_ids,
    system_prompt,
    user_prompt,
)
from workbench.audit.judges.voting import Answer, Tally, check_how, judge_batch
from workbench.errors import BadArgument, check_count, check_number
from workbench.files import fingerprint

_reply_tokens = 30
"""Of the answer about one item."""
Items = Mapping[str, Mapping[str, Any]]


def about_tokens(text: str) -> int:
    """Tokens of a text, roughly and rather too many: one for three bytes.

    Example:
        >>> about_tokens("def add(a, b): return a + b")
        9
    """
    return -(-len(text.encode("utf-8", "replace")) // 3)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a call will take at most, before anything is sent.

    Args:
        items: different questions.
        calls: prompts, if no item leaves early and every further round is needed.
        input_tokens: of all prompts, estimated from their bytes.
        output_tokens: of all replies, if they hold nothing but the answers.
        money: None where the endpoint's price is unknown.
    """

    items: int
    calls: int
    input_tokens: int
    output_tokens: int
    money: float | None


@dataclass(frozen=True, kw_only=True)
class LLMJudge:
    """Asks a language model about batches of pairs, and counts its votes over several orders.

    Items of one prompt carry ids made of their content, and answers are read by id. What has no
    usable answer is asked again, and at last stays unresolved; nothing becomes a label by default.
    Replies are cached by model, words, items and order: the same call again, after a crash or with
    more pairs, asks only what is missing, and what is all in the cache needs no network.

    Args:
        endpoint: whom to ask. Nothing is sent unless it says `allow_network=True`.
        task: what a yes means: `prompt.ANSWERS`, `prompt.SAME`, or your own words.
        batch: items in one prompt, 8..64 (see `judge_batch`).
        rounds: votes per item, odd, 1..9 (paper: 5).
        again: further rounds for items that miss a vote.
        how: "majority", "self_weighted" or "seas" (see `vote`).
        alpha: weight of an answer that is not sure (paper: 0.2).
        seed: of the orders.
        most_characters: longer texts are cut there, with a mark.
        most_calls: more prompts than that are refused before the first.
        most_cost: the same in money; needs a price. What is really spent ends at it as well, and
            the rest stays unresolved.
        cache: folder for the replies; None keeps them for this call only.

    Raises:
        BadArgument: options that cannot be.

    Example:
        >>> judge = LLMJudge(endpoint=Endpoint(model="small", price=(1.0, 2.0)), rounds=1, again=0)
        >>> asked = Question(query_id="q", doc_id="d", query="add two", doc="a + b")
        >>> cost = judge.estimate([asked])
        >>> cost.calls, cost.output_tokens, cost.money < 0.001
        (1, 30, True)

    Source: Lin, Diesendruck, Du and Abraham 2023, "BatchPrompt: Accomplish more with less".

    Breaks when: a text in the data talks to the model. It is sent as quoted data with a warning
    against it, but no prompt can exclude that it is obeyed, for its neighbours in the batch too.
    Errors that persist in every order are not voted away: measure the judge with
    `audit.measured`.
    """

    endpoint: Endpoint
    task: str = ANSWERS
    batch: int = 32
    rounds: int = 5
    again: int = 2
    how: str = "seas"
    alpha: float = 0.2
    seed: int = 0
    most_characters: int = 2000
    most_calls: int = 200
    most_cost: float | None = None
    cache: str | Path | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.endpoint, Endpoint):
            raise BadArgument("endpoint", self.endpoint, "it must be an Endpoint", "Make one.")
        if not isinstance(self.task, str) or not self.task.strip():
            raise BadArgument("task", self.task, "it must say what a yes means", "Leave it out.")
        check_how(self.how, rounds=self.rounds, alpha=self.alpha)
        check_count("batch", self.batch, mend="Try 32.")
        check_count("again", self.again, at_least=0, mend="Try 2.")
        check_count("seed", self.seed, at_least=0, mend="Try 0.")
        check_count("most_characters", self.most_characters, mend="Try 2000.")
        check_count("most_calls", self.most_calls, mend="Try 200.")
        if self.most_cost is not None:
            check_number("most_cost", self.most_cost, at_least=0, mend="Leave it out.")
            if self.endpoint.price is None:
                wanted = "the endpoint has no price to reckon with"
                raise BadArgument("most_cost", self.most_cost, wanted, "Pass Endpoint(price=).")

    @property
    def name(self) -> str:
        """As verdicts will say."""
        return f"llm {self.endpoint.model}"

    def estimate(self, questions: Sequence[Question]) -> Cost:
        """What asking these would take at most, without the cache; nothing is sent.

        Raises:
            BadArgument: not a list of questions.
        """
        check_questions(questions)
        items = self._items(questions)[1]
        turns = self.rounds + self.again
        calls = turns * -(-len(items) // self.batch)
        texts = turns * sum(about_tokens(user_prompt({key: item})) for key, item in items.items())
        sent = calls * (about_tokens(system_prompt(self.task)) + 8) + texts
        told = turns * _reply_tokens * len(items)
        return Cost(
            items=len(items),
            calls=calls,
            input_tokens=sent,
            output_tokens=told,
            money=self.endpoint.money(sent, told),
        )

    def __call__(self, questions: Sequence[Question]) -> list[Opinion]:
        """One opinion per question, in their order; equal texts are asked about once.

        Raises:
            BadArgument: not a list of questions, more calls or money than allowed, the network not
                allowed, a refused key or model.
            ConnectionError: the endpoint does not answer.
        """
        check_questions(questions)
        self._check_cost(self.estimate(questions))
        keys, items = self._items(questions)
        prompts = self.rounds * -(-len(items) // self.batch)
        with (
            tqdm(total=prompts, desc=self.name, unit="prompt", disable=None, delay=2) as bar,
            closing(_Session(self, items, tick=bar.update)) as session,
        ):
            ballot = judge_batch(
                list(items), session.ask, batch=self.batch, rounds=self.rounds, again=self.again,
                how=self.how, alpha=self.alpha, seed=self.seed,
            )  # fmt: skip
        tallies = [ballot.tallies[key] for key in keys]
        return [
            self._say(one, tally, session.stopped)
            for one, tally in zip(questions, tallies, strict=True)
        ]

    def _items(self, questions: Sequence[Question]) -> tuple[list[str], dict[str, dict[str, Any]]]:
        """The key of every question, and every different item by key."""
        rows = [as_item(one, self.most_characters) for one in questions]
        keys = [item_key(row) for row in rows]
        return keys, dict(zip(keys, rows, strict=True))

    def _check_cost(self, cost: Cost) -> None:
        mend = "Ask about fewer pairs, raise it, or take fewer rounds."
        if cost.calls > self.most_calls:
            wanted = f"{cost.items:,} items may take {cost.calls:,} calls"
            raise BadArgument("most_calls", self.most_calls, wanted, mend)
        if self.most_cost is not None and cost.money is not None and cost.money > self.most_cost:
            wanted = f"{cost.items:,} items may cost {cost.money:.4g}"
            raise BadArgument("most_cost", self.most_cost, wanted, mend)

    def _say(self, asked: Question, tally: Tally, stopped: str) -> Opinion:
        votes = tally.yes + tally.no
        counted = f"yes {tally.yes:g}, no {tally.no:g} in {tally.rounds} rounds"
        return Opinion(
            query_id=asked.query_id,
            doc_id=asked.doc_id,
            label=tally.label,
            score=tally.yes / votes if votes else None,
            judge=self.name,
            note=counted if votes else stopped or "no usable answer",
        )


class _Session:
    """One call of a judge: its cache, its connection once something is missing, and its bill."""

    def __init__(self, judge: LLMJudge, items: Items, *, tick: Callable[[], object]) -> None:
        self._judge, self._items, self._tick = judge, items, tick
        self._system = system_prompt(judge.task)
        self._cache = AnswerCache(judge.cache)
        self._connection: Connection | None = None
        self._spent = 0.0
        self.stopped = ""

    def ask(self, keys: list[str]) -> dict[str, Answer]:
        """Answers about items in this order, from the cache or the endpoint."""
        self._tick()
        name = fingerprint(self._judge.endpoint.model, VERSION, self._system, keys)
        known = self._cache.get(name)
        if known is not None:
            return known
        if self.stopped:
            return {}
        if self._connection is None:
            self._connection = self._judge.endpoint.connect()
        ids = short_ids(keys)
        user = user_prompt({ids[key]: self._items[key] for key in keys})
        reply = self._connection.complete(self._system, user)
        self._pay(about_tokens(self._system + user), reply.text, reply.input_tokens,
                  reply.output_tokens)  # fmt: skip
        told = read_reply(reply.text)
        answers = {key: told[short] for key, short in ids.items() if short in told}
        self._cache.put(name, answers)
        return answers

    def _pay(self, sent: int, text: str, counted: int | None, told: int | None) -> None:
        output = about_tokens(text) if told is None else told
        money = self._judge.endpoint.money(sent if counted is None else counted, output)
        self._spent += money or 0.0
        if self._judge.most_cost is not None and self._spent >= self._judge.most_cost:
            self.stopped = f"stopped after spending {self._spent:.4g}"

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
