"""A loss doctor: the laws, run on anybody's loss, and which known setting it equals.

Two forms are understood. `scores`: `loss(scores, positive, *, weight=None, **facts)`, one value per
anchor, as every loss here. `vectors`: `loss(anchors, positives)` or `loss(anchors, positives,
negatives)`, one number, as in most other libraries; its gradient is taken by `.backward()`, so
losses that chunk or cache and differentiate by themselves can be asked too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from workbench.errors import BadArgument, check_choice, check_number
from workbench.losses import RowLoss
from workbench.train.known_settings import TEMPERATURES, batch_of, facts_for, settings

if TYPE_CHECKING:
    import pandas as pd

DOUBLE = torch.float64
Loss = Callable[..., Tensor]
ROWS, COLUMNS, STEP = 6, 9, 1e-6


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One law, and what came of it.

    Args:
        law: its name.
        verdict: "holds", "fails", or "not asked" where it does not apply.
        says: the numbers.
    """

    law: str
    verdict: Literal["holds", "fails", "not asked"]
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What the doctor found.

    Args:
        form: "scores" or "vectors".
        findings: one per law.
        equals: known settings with the same value and gradient, to 1e-6.
    """

    form: str
    findings: tuple[Finding, ...]
    equals: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Does every law that was asked hold?"""
        return all(one.verdict != "fails" for one in self.findings)

    def frame(self) -> pd.DataFrame:
        """One row per law."""
        import pandas as pd

        rows = [(one.law, one.verdict, one.says) for one in self.findings]
        return pd.DataFrame(rows, columns=["law", "verdict", "says"])

    def __str__(self) -> str:
        lines = [f"{one.verdict:<10}{one.law:<34}{one.says}" for one in self.findings]
        same = " = ".join(self.equals) if self.equals else "no setting that is known here"
        return "\n".join([*lines, f"equals    {same}"])


def check_loss(
    loss: RowLoss | Loss,
    *,
    chunked: Loss | None = None,
    form: Literal["auto", "scores", "vectors"] = "auto",
    temperatures: Sequence[float] = TEMPERATURES,
    seed: int = 0,
) -> Diagnosis:
    """Run the laws on a loss and say which known setting it equals.

    Args:
        loss: see the module's text for the two forms.
        chunked: another form of the same loss (cached, streamed, gathered), called alike: value and
            gradient must be the same.
        form: "auto" takes a loss whose first two arguments are `scores` and `positive` for the
            first form.
        temperatures: at which known settings are compared.
        seed: of the random batch.

    Returns:
        Findings; print it.

    Raises:
        BadArgument: not a function, or a form that does not exist.

    Example:
        >>> from workbench.losses import InfoNCE
        >>> found = check_loss(InfoNCE(temperature=0.05))
        >>> found.ok, found.equals[0]
        (True, 'InfoNCE(temperature=0.05)')
        >>> doubled = lambda scores, positive, weight=None: 2 * scores.mean(dim=1)
        >>> check_loss(doubled).ok
        False

    Breaks when: a loss draws its own random numbers, or keeps state from call to call.
    """
    if not callable(loss) or isinstance(loss, type):
        raise BadArgument("loss", loss, "it must be a function or a loss object", "Make one first.")
    check_choice("form", form, ["auto", "scores", "vectors"])
    for one in temperatures:
        check_number("temperatures", one, above=0, mend="Try (0.05,).")
    found = _form(loss) if form == "auto" else form
    laws = _ScoreLaws(loss, seed) if found == "scores" else _VectorLaws(loss, seed)
    findings = tuple(_asked(law, check) for law, check in laws.checks(chunked))
    return Diagnosis(form=found, findings=findings, equals=_equals(loss, found, temperatures, seed))


def _form(loss: Loss) -> str:
    names = list(inspect.signature(loss).parameters)
    return (
        "scores" if isinstance(loss, RowLoss) or names[:2] == ["scores", "positive"] else "vectors"
    )


Answer = tuple[bool, str]
Check = Callable[[], "Answer | None"]


def _asked(law: str, check: Check) -> Finding:
    """A check's answer; an error is an answer too."""
    try:
        answer = check()
    except Exception as error:  # somebody else's code: anything may come
        return Finding(law=law, verdict="fails", says=f"{type(error).__name__}: {error}"[:160])
    if answer is None:
        return Finding(law=law, verdict="not asked")
    return Finding(law=law, verdict="holds" if answer[0] else "fails", says=answer[1])


def _gap(one: Tensor, two: Tensor) -> float:
    """Largest difference, relative to the larger of the two."""
    if one.shape != two.shape:
        return float("inf")
    one, two = one.detach().double(), two.detach().double()
    scale = max(float(one.abs().max()), float(two.abs().max()), 1e-12)
    gap = float((one - two).abs().max()) / scale
    return gap if gap == gap else float("inf")


def _close(gap: float, most: float = 1e-6) -> Answer:
    return gap <= most, f"largest difference {gap:.1e}"


# -- losses of scores -----------------------------------------------------------------------------


class _ScoreLaws:
    """A random batch of scores with weights and facts, and the laws asked of a loss on it."""

    def __init__(self, loss: Loss, seed: int) -> None:
        self.loss, self.seed = loss, seed
        generator = torch.Generator().manual_seed(seed)
        self.scores = torch.rand(ROWS, COLUMNS, generator=generator, dtype=DOUBLE) * 1.6 - 0.8
        self.positive = torch.arange(ROWS)
        self.facts = facts_for(loss, self.scores, self.positive, generator)
        self.kept = (torch.rand(ROWS, COLUMNS, generator=generator) > 0.4).to(DOUBLE)
        self.kept[:, -1] = 1.0  # no row is empty
        self.own = torch.nn.functional.one_hot(self.positive, COLUMNS).bool()

    def checks(self, chunked: Loss | None) -> Iterator[tuple[str, Check]]:
        """Every law that can be asked."""
        yield "one finite value per anchor", self.one_value
        yield "order of candidates is irrelevant", self.order
        yield "weight 0 equals removal", self.removal
        yield "a dropped cell gets no gradient", self.dropped
        yield "all dropped: 0, finite gradient", self.all_dropped
        yield "gradient is that of the value", self.numeric
        yield "same in fp32, finite in bf16", self.drift
        yield "a row does not depend on B", self.alone
        if chunked is not None:
            yield "chunked equals plain", lambda: self.same(chunked)

    def call(
        self, scores: Tensor | None = None, weight: Tensor | None = None, loss: Loss | None = None
    ) -> Tensor:
        """The loss on this batch, with facts in the precision of the scores."""
        scores = self.scores if scores is None else scores
        facts = {
            name: fact.to(scores.dtype) if fact.is_floating_point() else fact
            for name, fact in self.facts.items()
        }
        return (loss or self.loss)(scores, self.positive, weight=weight, **facts)

    def gradient(self, weight: Tensor | None = None, loss: Loss | None = None) -> Tensor:
        """Gradient of the sum of the values, by `.backward()`."""
        leaf = self.scores.clone().requires_grad_()
        self.call(leaf, weight, loss).sum().backward()  # type: ignore[no-untyped-call]
        return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad

    def one_value(self) -> Answer:
        value = self.call()
        fine = value.shape == (ROWS,) and bool(value.isfinite().all())
        return fine, f"{tuple(value.shape)} for {ROWS} anchors"

    def order(self) -> Answer:
        places = torch.randperm(COLUMNS, generator=torch.Generator().manual_seed(self.seed))
        moved = {name: fact[:, places] for name, fact in self.facts.items()}
        weight, positive = self.kept[:, places], torch.argsort(places)[self.positive]
        found = self.loss(self.scores[:, places], positive, weight=weight, **moved)
        return _close(_gap(found, self.call(weight=self.kept)))

    def removal(self) -> Answer:
        weight = torch.ones_like(self.scores)
        weight[:, ROWS:] = 0
        whole = {name: fact.clone() for name, fact in self.facts.items()}
        if "known" in whole:
            whole["known"][:, ROWS:] = False
        cut = {name: fact[:, :ROWS] for name, fact in whole.items()}
        found = self.loss(self.scores, self.positive, weight=weight, **whole)
        return _close(_gap(found, self.loss(self.scores[:, :ROWS], self.positive, **cut)))

    def dropped(self) -> Answer:
        gone = (self.kept == 0) & ~self.own
        if "known" in self.facts:
            gone &= ~self.facts["known"]
        most = float(self.gradient(self.kept)[gone].abs().max())
        return most == 0.0, f"largest gradient on a dropped cell {most:.1e}"

    def all_dropped(self) -> Answer:
        weight = torch.ones_like(self.scores)
        weight[1] = 0
        value = float(self.call(weight=weight)[1])
        slope = float(self.gradient(weight)[1].abs().sum())
        return value == 0.0 and slope == 0.0, f"value {value:.3g}, gradient {slope:.3g}"

    def numeric(self) -> Answer:
        generator = torch.Generator().manual_seed(self.seed + 1)
        along = torch.randn(self.scores.shape, generator=generator, dtype=DOUBLE)
        ends = [float(self.call(self.scores + sign * STEP * along).sum()) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * STEP)
        ratio = float((self.gradient() * along).sum()) / slope if slope else float("nan")
        return abs(ratio - 1) < 1e-3, f"gradient / slope: {ratio:.4g}"

    def drift(self) -> Answer:
        exact, single = self.call(), self.call(self.scores.float())
        half = self.call(self.scores.bfloat16())
        fine = bool(half.isfinite().all()) and _gap(single, exact) < 1e-4
        return fine, f"fp32 against fp64 {_gap(single, exact):.1e}, bf16 {_gap(half, exact):.1e}"

    def alone(self) -> Answer | None:
        if isinstance(self.loss, RowLoss) and not self.loss.independent:
            return None
        some = {name: fact[:2] for name, fact in self.facts.items()}
        found, among = self.loss(self.scores[:2], self.positive[:2], **some), self.call()[:2]
        ratio = float(found.sum() / among.sum())
        return _gap(found, among) < 1e-6, f"value of 2 rows alone / among {ROWS}: {ratio:.4g}"

    def same(self, chunked: Loss) -> Answer:
        plain, other = self.gradient(), self.gradient(loss=chunked)
        return _same(self.call(), self.call(loss=chunked), plain, other, ROWS)


# -- losses of vectors ----------------------------------------------------------------------------


class _VectorLaws:
    """Random batches of vectors, and the laws asked of a loss on them."""

    def __init__(self, loss: Loss, seed: int) -> None:
        self.loss, self.seed = loss, seed

    def checks(self, chunked: Loss | None) -> Iterator[tuple[str, Check]]:
        """Every law that can be asked."""
        yield "one finite number", self.one_number
        yield "order of rows is irrelevant", self.order
        yield "every vector gets a gradient", self.reaches
        yield "gradient is that of the value", self.numeric
        yield "same in fp32", self.drift
        if chunked is not None:
            yield "chunked equals plain", lambda: self.same(chunked)

    def ask(
        self, rows: int = 8, order: Tensor | None = None, loss: Loss | None = None
    ) -> tuple[Tensor, Tensor]:
        """Value and gradient on a batch, by `.backward()`."""
        parts = [part.requires_grad_() for part in batch_of(self.loss, rows, self.seed, order)]
        value = (loss or self.loss)(*parts)
        value.backward()  # type: ignore[no-untyped-call]
        slopes = [torch.zeros_like(part) if part.grad is None else part.grad for part in parts]
        return value.detach(), torch.cat(slopes)

    def one_number(self) -> Answer:
        value, _ = self.ask()
        return value.numel() == 1 and bool(value.isfinite().all()), f"shape {tuple(value.shape)}"

    def order(self) -> Answer:
        places = torch.randperm(8, generator=torch.Generator().manual_seed(self.seed))
        return _close(_gap(self.ask()[0], self.ask(order=places)[0]))

    def reaches(self) -> Answer:
        _, gradient = self.ask()
        untouched = int((gradient.abs().sum(dim=1) == 0).sum())
        return untouched == 0, f"{untouched} of {len(gradient)} vectors get no gradient"

    def numeric(self) -> Answer:
        ratios = [self._ratio(rows) for rows in (4, 8, 16)]
        shown = ", ".join(f"{ratio:.3g}" for ratio in ratios)
        fine = all(abs(ratio - 1) < 1e-3 for ratio in ratios)
        return fine, f"gradient / slope at B = 4, 8, 16: {shown}"

    def _ratio(self, rows: int) -> float:
        parts, (_, gradient) = batch_of(self.loss, rows, self.seed), self.ask(rows)
        generator = torch.Generator().manual_seed(self.seed + 1)
        along = [torch.randn(part.shape, generator=generator, dtype=DOUBLE) for part in parts]
        ends = [
            float(self.loss(*[p + sign * STEP * a for p, a in zip(parts, along, strict=True)]))
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * STEP)
        return float((gradient * torch.cat(along)).sum()) / slope if slope else float("nan")

    def drift(self) -> Answer:
        parts = batch_of(self.loss, 8, self.seed)
        gap = _gap(self.loss(*[part.float() for part in parts]), self.loss(*parts))
        return gap < 1e-3, f"fp32 against fp64 {gap:.1e}"

    def same(self, chunked: Loss) -> Answer:
        (value, gradient), (other, slope) = self.ask(), self.ask(loss=chunked)
        return _same(value, other, gradient, slope, 8)


def _same(
    value: Tensor, other: Tensor, gradient: Tensor, other_gradient: Tensor, rows: int
) -> Answer:
    """Same value and gradient? If one is a multiple of the other, say of what."""
    values, gradients = _gap(value, other), _gap(gradient, other_gradient)
    ratio = float(other_gradient.norm() / gradient.norm().clamp_min(1e-12))
    missing = int(((other_gradient == 0).all(dim=-1) & ~(gradient == 0).all(dim=-1)).sum())
    says = f"value differs by {values:.1e}, gradient by {gradients:.1e}"
    if abs(ratio - 1) > 1e-3:
        says += f"; its gradient is {ratio:.3g} times"
        says += " (= B)" if abs(ratio - rows) < 1e-2 else ""
    if missing:
        says += f"; {missing} vectors get none"
    return max(values, gradients) < 1e-6, says


def _equals(loss: Any, form: str, temperatures: Sequence[float], seed: int) -> tuple[str, ...]:
    """Names of known settings that give the same value and gradient."""
    try:
        return tuple(settings(loss, form, temperatures, seed, _gap))
    except Exception:  # it failed a law already, which is said there
        return ()
