"""Which hidden positives stand among mined negatives, what finds them, and what do they cost?

    python benchmarks/hidden.py [--quick]

Every collection in `shared/data` with planted hidden positives (30 % of the training labels taken
away and listed) is mined by a frozen encoder (all-MiniLM-L6-v2), its known positives left out; what
is hidden is the truth. First table: for each rule the share of candidates it drops, its precision
and recall, the share of hidden positives left among the negatives, and the AUC of the number that
the rule compares with its threshold. Second table: the same small encoder trained on these
negatives, unfiltered, filtered, and filtered by the truth. Without `shared/` only the built-in
collection is mined, where near duplicates of a positive are the truth.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import warnings

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import numpy as np
from headroom import DIM, ROOT, SHARED, TEMPERATURE, built_in, fellows, one_label, planted, share

DEPTH, SEEDS, HARD = 30, 3, 2
ORDER = ("plain", "oracle")
WORLDS = {
    "clinc150": lambda: planted("clinc150", batch_size=256, epochs=3, metric="nDCG@10"),
    "clinc150, one label": lambda: one_label(
        "clinc150", batch_size=128, epochs=12, metric="nDCG@10"
    ),
    "cranfield": lambda: planted("cranfield", batch_size=64, epochs=10, metric="nDCG@10"),
    "built-in": lambda: built_in(batch_size=128, epochs=6, metric="RR@10"),
}
TRAINED = "clinc150, one label"


def mined(world):
    """(candidates, guide, truth and given of every cell): the 30 nearest by the guide."""
    from workbench import mine
    from workbench.data import KnownPositives
    from workbench.encode import Encoder, VectorCache, encode_collection

    model = Encoder.load(max_length=world.max_tokens)
    cache = VectorCache(ROOT / "data" / "vectors")
    guide = encode_collection(model, world.given, cache=cache, progress=False)
    # Built-in: its near duplicates are the truth, so only what is labelled may be left out.
    found = mine.dense(world.given, *guide, k=DEPTH, exclude="labelled")
    queries = np.arange(len(found.docs))
    truth = KnownPositives.of(world.truth).paired(queries, found.docs)
    given = KnownPositives.of(world.given).paired(queries, found.docs)
    return found, guide, truth & ~given, given


def cells(found, world, guide, scores):
    """The facts of the whole mined list, by name."""
    from workbench.mine.facts import ListFacts

    facts = ListFacts(
        found, collection=world.given, guide=guide, known=None, verdicts=None, scores=scores
    )
    names = ("guide", "guide_positive", "neighbour", *scores)
    parts = [[block[name].numpy() for name in names] for _, block in facts.chunks()]
    return dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def detectors(found, world, guide):
    """Rule -> (the rule, its guide, the number it compares: larger = more likely a positive)."""
    from workbench.mine import with_partners
    from workbench.rules import Adaptive, Guide, PositiveNeighbour, Scored, ShareOfPositive

    scores = {"fellows": fellows(world.given)}
    together = with_partners(world.given, guide)
    alone, joined = (cells(found, world, one, scores) for one in (guide, together))

    def outlier(facts):
        best = facts["guide"]
        spread = np.nanstd(best, axis=1, ddof=1, keepdims=True)
        return (best - np.nanmean(best, axis=1, keepdims=True)) / np.maximum(spread, 1e-9)

    own = alone["guide_positive"][:, None]
    return {
        "miner's score": (None, guide, alone["guide"]),
        "gist": (Guide(), guide, alone["guide"] - own),
        "95 % of positive": (ShareOfPositive(by="guide"), guide, alone["guide"] / own),
        "near a positive": (PositiveNeighbour(threshold=0.8), guide, alone["neighbour"]),
        "adaptive": (Adaptive(sigmas=1.0), guide, outlier(alone)),
        "partners, gist": (
            Guide(), together, joined["guide"] - joined["guide_positive"][:, None],
        ),
        "partners, adaptive": (Adaptive(sigmas=1.0), together, outlier(joined)),
        "partners, cosine": (None, together, joined["guide"]),
        "shared answers": (
            Scored(fact="fellows", at_most=0.2), guide, np.nan_to_num(alone["fellows"]),
        ),
    }, scores  # fmt: skip


def table(name):
    """(printed lines, figures, what training needs) of one collection."""
    from sklearn.metrics import roc_auc_score

    from workbench import mine

    world = WORLDS[name]()
    found, guide, truth, given = mined(world)
    there = (found.docs >= 0) & ~given
    rules, scores = detectors(found, world, guide)
    base = truth[there].mean()
    lines = [
        f"{name}: {len(found.docs):,} queries, {there.sum():,} mined, {base:.1%} of them hidden "
        f"positives, {truth[:, 0][there[:, 0]].mean():.1%} at rank 1",
        f"{'':<22}{'dropped':>9}{'precision':>11}{'recall':>8}{'left hidden':>13}{'AUC':>7}",
    ]
    figures, filtered = {}, {}
    for key, (rule, by, number) in rules.items():
        known = there & np.isfinite(number)
        auc = roc_auc_score(truth[known], number[known])
        figures[f"{name}: {key}, AUC"] = auc
        if rule is None:
            lines.append(f"{key:<22}{'':>9}{'':>11}{'':>8}{'':>13}{auc:>7.3f}")
            continue
        ruled = mine.apply_rules(found, [rule], collection=world.given, guide=by, scores=scores)
        filtered[key] = ruled
        lost = there & (ruled.weight <= 0)
        hit = (lost & truth).sum()
        precision, recall = hit / max(lost.sum(), 1), hit / max(truth[there].sum(), 1)
        left = truth[there & ~lost].mean()
        lines.append(
            f"{key:<22}{lost.sum() / there.sum():>9.1%}{precision:>11.2f}{recall:>8.2f}"
            f"{left:>13.1%}{auc:>7.3f}"
        )
    return lines, figures, (world, found, truth, filtered)


def trained(world, lists, *, seeds, epochs=None):
    """Name -> (seed, query) metric of the encoder trained with each list's best negatives.

    `lists` is name -> candidates with weights; None trains without mined negatives.
    """
    from workbench import arms
    from workbench.losses import InfoNCE
    from workbench.train import Contrast, Hard, InBatch, Knowledge

    loss, knowledge = InfoNCE(temperature=TEMPERATURE), Knowledge.of(world.given)
    mined_too = Contrast(loss=loss, candidates=[InBatch("ap"), Hard(HARD)])
    every = {
        key: arms.Arm(Contrast(loss=loss), knowledge=knowledge)
        if one is None
        else arms.Arm(mined_too, knowledge=knowledge, mined=one)
        for key, one in lists.items()
    }
    result = arms.compare(
        world.given, world.test, every, seeds=seeds, epochs=epochs or world.epochs, dim=DIM,
        batch_size=world.batch_size, metric=world.metric, progress=False,
    )  # fmt: skip
    return {
        key: np.stack([card.values[world.metric] for card in cards])
        for key, cards in result.runs.items()
    }


def consequence(world, found, truth, filtered, *, seeds):
    """The encoder trained with the two best-ranked negatives that each rule leaves."""
    from dataclasses import replace

    lists = {"plain": found, "oracle": replace(found, weight=found.weight * ~truth), **filtered}
    values = trained(world, {**lists, "no mined negatives": None}, seeds=seeds)
    lines = [
        f"trained on {HARD} negatives per query, {len(world.given.pairs):,} pairs, "
        f"{world.epochs} epochs, seeds 0 to {seeds - 1}",
        f"{'':<22}{world.metric:>8}{'share of headroom':>27}",
    ]
    figures = {}
    for key, value in values.items():
        part, low, high, stands = share(values["plain"], value, values["oracle"])
        told = f"{part:>10.0%} [{low:>6.0%}, {high:>5.0%}]" if stands else f"{'-':>10}"
        lines.append(f"{key:<22}{value.mean():>8.4f}{'' if key in ORDER else told}")
        figures[key] = value.mean()
        if stands and key not in ORDER:
            figures[f"{key}, share"] = part
    return lines, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one collection, one seed, few epochs")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    names = [*WORLDS] if SHARED.is_dir() else ["built-in"]
    trained = TRAINED if SHARED.is_dir() else "built-in"
    if quick:
        names = [trained]
    print(f"all-MiniLM-L6-v2's top {DEPTH}; bag of WordPieces, {DIM} dim, InfoNCE at {TEMPERATURE}")
    figures, kept = {}, None
    for name in names:
        lines, found, parts = table(name)
        print("\n" + "\n".join(lines), flush=True)
        figures |= found
        kept = parts if name == trained else kept
    world, candidates, truth, filtered = kept
    if quick:
        from dataclasses import replace

        world = replace(world, epochs=1)
        filtered = {"gist": filtered["gist"]}
    lines, found = consequence(world, candidates, truth, filtered, seeds=1 if quick else SEEDS)
    print(f"\n{trained}, " + "\n".join(lines))
    figures |= {f"trained: {key}": value for key, value in found.items()}
    print(json.dumps({name: round(float(value), 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
