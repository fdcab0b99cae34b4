"""Candidates: which texts an anchor is contrasted with. Each kind names its blocks of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.scores import normalize
from workbench.train.cells import Block
from workbench.train.facts import Columns, Embedded, Knowledge

BLOCKS = ("ap", "aa", "pp", "pa")
_sides = {"a": "anchors", "p": "positives", "n": "negatives"}


@dataclass(frozen=True, init=False)
class InBatch:
    """Columns made of the batch itself.

    Args:
        blocks: left and right side of each block: "ap" other rows' positives, "aa" other anchors,
            "pp" positive against other positives, "pa" positive against other anchors.
        across_devices: also the rows of the other processes, with gradient; nothing changes in a
            run of one process.

    Raises:
        BadArgument: an unknown block.

    Example:
        >>> InBatch("ap", "aa").blocks
        ('ap', 'aa')

    Source: Henderson et al. 2017 ("ap"); all four in Solatorio 2024 (GISTEmbed) but "pa".
    """

    blocks: tuple[str, ...]
    across_devices: bool

    def __init__(self, *blocks: str, across_devices: bool = False) -> None:
        for block in blocks:
            check_choice("blocks", block, BLOCKS)
        object.__setattr__(self, "blocks", tuple(dict.fromkeys(blocks or ("ap",))))
        object.__setattr__(self, "across_devices", across_devices)

    def __repr__(self) -> str:
        blocks = [repr(block) for block in self.blocks]
        across = ["across_devices=True"] if self.across_devices else []
        return f"InBatch({', '.join(blocks + across)})"


@dataclass(frozen=True)
class Hard:
    """Columns made of mined negatives.

    Args:
        count: how many per row the sampler is to bring.
        shared: True: every row sees every row's negatives; False: only its own.
        across_devices: see `InBatch`; only with `shared`.

    Raises:
        BadArgument: count < 1, or own negatives across devices.
    """

    count: int = 1
    shared: bool = field(default=True, kw_only=True)
    across_devices: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        check_count("count", self.count, mend="Try 1.")
        if self.across_devices and not self.shared:
            wanted = "a row's own negatives are on its own device"
            raise BadArgument("across_devices", self.across_devices, wanted, "Set shared=True.")

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of its blocks."""
        return ("an",)


@dataclass(frozen=True)
class Queue:
    """Columns made of the documents of past batches, oldest out first.

    The trainer keeps them with their positions and ages; an anchor's own past is removed by
    position, like every known positive.

    Args:
        size: documents kept; paper (CoCoSoDa) 1,024, MoCo 65,536.
        momentum: of the encoder copy that makes the keys, 0.999 in the paper; 0 = keep the step's
            own vectors, at no extra forward pass.

    Raises:
        BadArgument: size < 1, momentum outside [0, 1).

    Source: He et al. 2020 (MoCo), equation 2; Shi et al. 2023 (CoCoSoDa); momentum 0 is Wang et al.
    2020 (cross-batch memory).
    Breaks when: the learning rate is so large that keys are stale within one turn of the queue.
    """

    size: int = 65_536
    momentum: float = field(default=0.999, kw_only=True)

    def __post_init__(self) -> None:
        check_count("size", self.size, mend="Try 65536.")
        check_number("momentum", self.momentum, at_least=0, at_most=1, mend="Try 0.999.")
        if self.momentum >= 1:
            raise BadArgument("momentum", self.momentum, "it must be < 1", "Try 0.999.")

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of its blocks."""
        return ("queue",)


@dataclass(frozen=True)
class Bank:
    """Columns made of every document of the collection, encoded once and frozen.

    The vectors come with the facts: `Knowledge.of(collection, bank=document_vectors)`. The
    positives come from the bank too, so no document is encoded in a step and only the query side
    learns (with one encoder for both sides the bank slowly goes stale: encode it anew per stage).

    Args:
        count: documents drawn per step; None = all of them.

    Raises:
        BadArgument: count < 1.

    Source: Feng et al. 2024 (SPN4CIR), second stage; Zhan et al. 2021 (ADORE) freezes likewise.
    Breaks when: duplicates of a positive stand in the bank and nothing removes them (give it
    near-duplicate groups), or the document side goes on training.
    """

    count: int | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            check_count("count", self.count, mend="Try 1024, or None for all.")

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of its blocks."""
        return ("bank",)


@dataclass(frozen=True)
class Shared:
    """Columns made of random documents, encoded once a step and seen by every row.

    Args:
        count: documents drawn per step, uniformly without replacement: M forward passes, not B x M.

    Raises:
        BadArgument: count < 1.

    Source: Je et al. 2023 (SEA-KGC), as reconstructed on SimKGC.
    Breaks when: the corpus is so small that most of it is drawn anyway.
    """

    count: int = 64

    def __post_init__(self) -> None:
        check_count("count", self.count, mend="Try 64.")

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of its blocks."""
        return ("shared",)


@dataclass(frozen=True)
class Mixed:
    """Synthetic columns: mixes of an anchor's hardest kept negatives, and of those with itself.

        h = unit(a n_i + (1 - a) n_j), a ~ U(0, 1)      h' = unit(b q + (1 - b) n_j), b ~ U(0, 1/2)

    Made per anchor from the documents of the other blocks that the rules keep, so that a dropped
    false negative is never mixed into more of them. h and h' are constants: gradient flows through
    the anchor only.

    Args:
        n: hardest negatives of each anchor to draw from; paper 1,024 of 65,536.
        pairs: mixes h of two of them.
        with_anchor: mixes h' of one of them with the anchor.
        start: first optimiser step at which they count; the paper waits 10 to 15 epochs.
        seed: of the draws, together with the step.

    Raises:
        BadArgument: a count below 0, or nothing to make.

    Source: Kalantidis et al. 2020 (MoCHi), equations 5 to 8.
    Breaks when: false negatives are not removed first: of a planted world's 64 hardest, 80 % share
    the anchor's topic, and mixes of those are harder still.
    """

    n: int = 64
    pairs: int = field(default=32, kw_only=True)
    with_anchor: int = field(default=16, kw_only=True)
    start: int = field(default=0, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        check_count("n", self.n, mend="Try 64.")
        for name in ("pairs", "with_anchor", "start", "seed"):
            check_count(name, getattr(self, name), at_least=0, mend="Try 16.")
        if not self.pairs and not self.with_anchor:
            raise BadArgument("pairs", 0, "nothing would be made", "Try pairs=32.")

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of its blocks."""
        return ("mixed",)


Candidate = InBatch | Hard | Queue | Bank | Shared | Mixed


def check_candidates(candidates: Sequence[object]) -> tuple[Candidate, ...]:
    """Refuse what is no candidate, an empty list, and blocks that stand twice."""
    checked = []
    for part in candidates:
        if not isinstance(part, Candidate):
            wanted = "each entry must be InBatch, Hard, Queue, Bank, Shared or Mixed"
            raise BadArgument("candidates", part, wanted, 'Try [InBatch("ap")].')
        checked.append(part)
    if not checked:
        raise BadArgument("candidates", [], "it must not be empty", 'Try [InBatch("ap")].')
    blocks = [block for part in checked for block in part.blocks]
    if len(set(blocks)) < len(blocks):
        wanted = "a block would be counted twice"
        raise BadArgument("candidates", candidates, wanted, "Name each block once.")
    if blocks == ["mixed"]:
        wanted = "there is nothing to mix"
        raise BadArgument("candidates", candidates, wanted, 'Put InBatch("ap") beside it.')
    return tuple(checked)


def blocks_of(
    candidates: Sequence[Candidate], batch: Embedded, knowledge: Knowledge | None
) -> list[Block]:
    """The real candidate columns of one batch: all but mixes."""
    found = []
    for part in candidates:
        if isinstance(part, InBatch):
            found += [
                in_batch(name, batch, knowledge, across=part.across_devices) for name in part.blocks
            ]
        elif isinstance(part, Hard) and len(batch.negatives):
            columns = _side("n", batch, across=part.across_devices)
            own = not part.shared
            found.append(
                Block(name="an", batch=batch, columns=columns, own=own, knowledge=knowledge)
            )
        elif isinstance(part, Bank):
            columns = batch.extra.get("bank") or bank_columns(batch, knowledge)
            found.append(Block(name="bank", batch=batch, columns=columns, knowledge=knowledge))
        elif isinstance(part, Queue | Shared) and part.blocks[0] in batch.extra:
            name = part.blocks[0]
            columns = batch.extra[name]
            found.append(Block(name=name, batch=batch, columns=columns, knowledge=knowledge))
    return found


def in_batch(
    name: str, batch: Embedded, knowledge: Knowledge | None, *, across: bool = False
) -> Block:
    """One block of the batch itself, by its two letters."""
    return Block(
        name=name,
        batch=batch,
        columns=_side(name[1], batch, across=across),
        from_doc=name[0] == "p",
        is_query=name[1] == "a",
        knowledge=knowledge,
    )


def _side(letter: str, batch: Embedded, *, across: bool) -> Columns:
    if across and _sides[letter] in batch.extra:
        return batch.extra[_sides[letter]]
    if letter == "a":
        return Columns(vectors=batch.anchors, positions=batch.queries)
    if letter == "p":
        return Columns(vectors=batch.positives, positions=batch.docs)
    return Columns(vectors=batch.negatives, positions=batch.negative_docs, owners=batch.owners)


def bank_columns(batch: Embedded, knowledge: Knowledge | None) -> Columns:
    """All frozen document vectors, as wide as the batch's."""
    if knowledge is None or knowledge.bank is None:
        raise BadArgument(
            "knowledge", knowledge, "Bank needs document vectors",
            "Pass Knowledge.of(collection, bank=document_vectors).",
        )  # fmt: skip
    width, bank = batch.anchors.shape[1], knowledge.bank
    if bank.shape[1] < width:
        wanted = f"the encoder's vectors have {width} numbers"
        raise BadArgument("bank", tuple(bank.shape), wanted, "Encode it with this encoder.")
    vectors = bank if bank.shape[1] == width else normalize(bank[:, :width])
    vectors = vectors.to(batch.anchors.device, batch.anchors.dtype)
    return Columns(vectors=vectors, positions=np.arange(len(bank)))
