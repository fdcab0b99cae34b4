"""Start a training run: the parts are checked and nothing is trained before the first row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.encode import Encoder
from workbench.errors import BadArgument, check_count
from workbench.train.contrast import Contrast
from workbench.train.facts import Knowledge
from workbench.train.loop import Run
from workbench.train.parts import Sampler, holds_a_run
from workbench.train.recipe import Recipe
from workbench.train.refresh import Refresh
from workbench.types import Collection


def fit(
    encoder: Encoder,
    collection: Collection,
    sampler: Sampler,
    contrast: Contrast,
    *,
    knowledge: Knowledge | None = None,
    recipe: Recipe | None = None,
    folder: str | Path | None = None,
    save_every: int | None = None,
    keep: int = 2,
    evaluate: Callable[[Encoder], float] | None = None,
    evaluate_every: int | None = None,
    refresh: Refresh | None = None,
    resume: bool = True,
) -> Run:
    """Train an encoder in place; iterate the result for a row per step.

    Args:
        encoder: trained in place.
        collection: texts by position.
        sampler: yields batches of positions; see `workbench.sample`.
        contrast: candidates, rules and loss.
        knowledge: what rules may ask about: `Knowledge.of(collection, guide=...)`.
        recipe: the numbers; see `Recipe`.
        folder: where checkpoints and `history.jsonl` go; None keeps nothing on disk.
        save_every: steps between checkpoints (also at the end, and on interrupt).
        keep: newest checkpoints kept, beside the best.
        evaluate: encoder -> a number, larger is better.
        evaluate_every: steps between evaluations (also at the end).
        refresh: mine, and group, anew by the encoder as it has become; the sampler then belongs to
            this run, which leaves it with the negatives of its last round.
        resume: go on from the newest checkpoint in `folder`.

    Returns:
        A `Run`; nothing is trained before the first row is asked for.

    Raises:
        BadArgument: parts that do not fit, before any work.
        NonFiniteLoss: while iterating.

    Breaks when: the sampler's order depends on more than its seed and the epoch (replay and resume
    then refuse).
    """
    for name, value in (("save_every", save_every), ("evaluate_every", evaluate_every)):
        if value is not None:
            check_count(name, value, mend="Try 100.")
    check_count("keep", keep, mend="Try 2.")
    run = Run(
        encoder,
        collection,
        sampler,
        contrast,
        knowledge=knowledge,
        recipe=recipe or Recipe(),
        folder=Path(folder) if folder is not None else None,
        save_every=save_every,
        keep=keep,
        evaluate=evaluate,
        evaluate_every=evaluate_every,
        refresh=refresh,
    )
    if resume:
        run.resume()
    elif run.folder is not None and holds_a_run(run.folder):
        wanted = "it already holds a run"
        raise BadArgument("folder", str(folder), wanted, "Use another, or resume=True.")
    else:
        run.history.rewind(0)
    return run
