"""Candidates x rules x loss: one expression for every choice of negatives.

    value_i = trust_i loss( s(a_i, p_i), {s_ij, w_ij for every candidate j of every block} )

GISTEmbed, for instance, is `Contrast(candidates=[InBatch("ap", "aa", "pp"), Hard(1)],
rules=[rules.Guide()], loss=losses.InfoNCE(temperature=0.01))`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadArgument, check_choice, check_count
from workbench.losses import InfoNCE, Matryoshka, NormRatio, RowLoss, SoftmaxLoss
from workbench.rules import PairRule, Rule, check_rules
from workbench.train.candidates import Bank, Candidate, Hard, InBatch, check_candidates
from workbench.train.facts import Embedded, Knowledge
from workbench.train.rows import Account, Table
from workbench.types import at_step

BESIDE = ("score", "positive_score", "mined")
"""Facts that need no knowledge of the collection."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What is contrasted with what, how much, and what is done with it.

    Args:
        loss: any registered loss; those of the softmax family are streamed. `Matryoshka` around
            one applies it to prefixes of the vectors.
        candidates: blocks of columns.
        rules: their weights multiply.
        trust: rules about whole pairs (`pair_rule`); their weights multiply an anchor's value.
        lengths: a term on the raw vectors' lengths, added to the value: the document of a pair
            holds more than its query and gets the longer vector (excerpt -> whole). The encoder
            must not normalise.
        protect: what is removed from every block by position before any rule, wherever it comes
            from. "known": the anchor itself, its labelled positive, and what `knowledge` says
            answers it (judged, same text, near duplicate); "own": only the first two.
        directions: "one": anchors look for positives; "both": also positives for anchors (over
            the batch's anchors), the two values averaged.
        chunk: rows at a time; None = all while a block has fewer than 4 million cells, else as
            many as that is.

    Raises:
        BadArgument: parts that do not fit.

    Example:
        >>> import torch
        >>> batch = Embedded.of(torch.eye(2), torch.eye(2))
        >>> Contrast(loss=InfoNCE(temperature=1.0))(batch)
        tensor([0.3133, 0.3133])
    """

    loss: RowLoss | Matryoshka = field(default_factory=InfoNCE)
    candidates: Sequence[Candidate] = (InBatch("ap"),)
    rules: Sequence[Rule] = ()
    trust: Sequence[PairRule] = ()
    lengths: NormRatio | None = None
    protect: Literal["known", "own"] = "known"
    directions: Literal["one", "both"] = "one"
    chunk: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.loss, type) or not isinstance(self.loss, RowLoss | Matryoshka):
            wanted = "it must be a loss of scores"
            raise BadArgument("loss", self.loss, wanted, "Write losses.InfoNCE(temperature=0.05).")
        object.__setattr__(self, "candidates", check_candidates(self.candidates))
        check_choice("directions", self.directions, ["one", "both"])
        check_choice("protect", self.protect, ["known", "own"])
        if self.chunk is not None:
            check_count("chunk", self.chunk, mend="Try 256.")
        object.__setattr__(self, "rules", tuple(self.rules))
        object.__setattr__(self, "trust", tuple(self.trust))
        pairs: Sequence[object] = self.trust
        for rule in pairs:
            if isinstance(rule, type) or not isinstance(rule, PairRule):
                wanted = "each entry must be a rule about whole pairs"
                raise BadArgument("trust", rule, wanted, "Write rules.BadPair().")

    @property
    def hard(self) -> int:
        """Mined negatives wanted per row."""
        return sum(part.count for part in self.candidates if isinstance(part, Hard))

    @property
    def row_loss(self) -> RowLoss:
        """The loss itself, out of its wrapper."""
        return self.loss.loss if isinstance(self.loss, Matryoshka) else self.loss

    def check(self, knowledge: Knowledge | None) -> None:
        """Refuse rules, losses and candidates whose facts are missing, before any work."""
        facts = knowledge.facts if knowledge else BESIDE
        check_rules(self.rules, facts)
        for fact in self.row_loss.needs:
            if fact not in (*facts, "known"):
                raise BadArgument(
                    "loss", self.loss, f"it needs {fact}, which was not given",
                    "Pass Knowledge.of(collection, ...) with it (guide=, scores=).",
                )  # fmt: skip
        if self.trust and (knowledge is None or knowledge.losses is None):
            wanted = "it needs what each row has cost so far"
            mend = "Pass Knowledge.of(collection, losses=LossStore.empty(...))."
            raise BadArgument("trust", self.trust[0], wanted, mend)
        bank = any(isinstance(part, Bank) for part in self.candidates)
        if bank and (knowledge is None or knowledge.bank is None):
            wanted = "Bank needs document vectors"
            mend = "Pass Knowledge.of(collection, bank=document_vectors)."
            raise BadArgument("candidates", "Bank", wanted, mend)

    def __call__(
        self,
        batch: Embedded,
        knowledge: Knowledge | None = None,
        *,
        step: int = 0,
        epoch: int = 0,
        account: Account | None = None,
    ) -> Float[Tensor, " query"]:
        """One value per anchor.

        Args:
            batch: the student's vectors.
            knowledge: what rules and losses may ask about.
            step: optimiser step, for options that are a `Ramp` and for draws.
            epoch: pass over the data; rules about pairs see what was lost in earlier ones.
            account: filled with what the rules left of each block, and each pair's own value.
        """
        if isinstance(self.loss, Matryoshka):
            value = self._prefixes(self.loss, batch, knowledge, step, account)
        else:
            value = self._value(batch.unit(), knowledge, step, account)
        if self.lengths is not None:
            value = value + at_step(self.lengths, step)(batch.positives, batch.anchors)
        if account is not None:
            account.values = value.detach()
        for rule in self.trust:
            value = value * self._trusted(rule, value.detach(), batch, knowledge, epoch)
        return value

    def weights(
        self, batch: Embedded, knowledge: Knowledge | None = None, *, step: int = 0
    ) -> dict[str, Tensor]:
        """Weight of every cell, per block, for looking at; 0 where the cell is no candidate."""
        table = self.table(batch.unit(), knowledge, step)
        found = {block.name: table.weight(block, slice(0, None)).float() for block in table.blocks}
        return found | ({"mixed": table.made.weight.float()} if table.made is not None else {})

    def table(self, batch: Embedded, knowledge: Knowledge | None, step: int = 0) -> Table:
        """The rows of scores of one batch of unit vectors, with all options fixed for a step."""
        return Table.of(
            batch,
            knowledge,
            candidates=self.candidates,
            rules=tuple(at_step(rule, step) for rule in self.rules),
            protect=self.protect,
            chunk=self.chunk,
            step=step,
        )

    def _value(
        self, batch: Embedded, knowledge: Knowledge | None, step: int, account: Account | None
    ) -> Tensor:
        loss = at_step(self.row_loss, step)
        table = self.table(batch, knowledge, step)
        tables = [("", table)]
        if self.directions == "both":
            tables.append(("back ", table.mirror()))
        values = []
        for prefix, one in tables:
            if isinstance(loss, SoftmaxLoss) and loss.streams:
                values.append(one.softmax(loss, account, prefix))
            else:
                values.append(one.rows(loss, account, prefix))
        return values[0] if len(values) == 1 else (values[0] + values[1]) / 2

    def _prefixes(
        self,
        wrapper: Matryoshka,
        batch: Embedded,
        knowledge: Knowledge | None,
        step: int,
        account: Account | None,
    ) -> Tensor:
        """Weighted sum of the loss over prefixes of the vectors; the first one is accounted for."""
        inner = replace(self, loss=wrapper.loss, trust=(), lengths=None)
        total: Tensor | None = None
        shares = wrapper.weight_of_dims
        for place, (dim, share) in enumerate(zip(wrapper.dims, shares, strict=True)):
            told = account if place == 0 else None
            value = share * inner(batch.prefix(dim), knowledge, step=step, account=told)
            total = value if total is None else total + value
        assert total is not None  # dims is never empty
        return total

    def _trusted(
        self,
        rule: PairRule,
        value: Tensor,
        batch: Embedded,
        knowledge: Knowledge | None,
        epoch: int,
    ) -> Tensor:
        if batch.rows is None or knowledge is None or knowledge.losses is None:
            wanted = "it needs the batch's training rows and what each has cost so far"
            mend = "Pass Embedded(rows=...) and Knowledge.of(collection, losses=...)."
            raise BadArgument("trust", rule, wanted, mend)
        return rule(value, batch.rows, knowledge.losses.before(epoch)).to(value)
