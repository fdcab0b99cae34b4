"""Does suspicion find hidden positives, count them, and recover what they cost in training?

    python benchmarks/suspicion.py [--quick]

Collections with planted hidden positives (30 % of the training labels taken away and listed, or all
but one per query) are mined by a frozen encoder (all-MiniLM-L6-v2), known positives left out. First
table: average precision, AUC and precision at half the recall of every single signal and of the
combination without judgments and with 50 and 200, drawn by `audit.draw` and answered from the
hidden list. Then how often the 95 % interval of the estimated count covers the truth, over 100
draws. Then the same small encoder trained on the negatives that each leaves: share of what knowing
all would gain, with intervals over queries and seeds. Copied functions of an installed package are
a fourth collection, and the only one without `shared/`.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import numpy as np
from headroom import DIM, ROOT, SHARED, TEMPERATURE, share
from hidden import DEPTH, HARD, WORLDS, trained

FIRST, SECOND, SEEDS, DRAWS = 50, 200, 5, 100
MARGIN = "minilm.margin"
COPIED = "copied functions"
NAMES = ("clinc150", "clinc150, one label", "cranfield", COPIED)
TRAINED, QUICK = ("clinc150", "clinc150, one label"), "clinc150, one label"
DROP = 0.3  # picked on the development queries of clinc150


def mined(name):
    """(world, candidates, guides, truth): what is mined, and what of it is a hidden positive."""
    from workbench import mine
    from workbench.data import KnownPositives
    from workbench.encode import Encoder, VectorCache, encode_collection

    world = copied() if name == COPIED else WORLDS[name]()
    model = Encoder.load(max_length=world.max_tokens)
    cache = VectorCache(ROOT / "data" / "vectors")
    guide = encode_collection(model, world.given, cache=cache, progress=False)
    found = mine.dense(world.given, *guide, k=DEPTH)
    queries = np.arange(len(found.docs))
    truth = KnownPositives.of(world.truth).paired(queries, found.docs) & (found.docs >= 0)
    return world, found, {"minilm": guide}, truth


def copied():
    """`data.copied_functions`: one label each, copies hidden."""
    from types import SimpleNamespace

    from workbench.data import copied_functions, small_collections

    given, every = copied_functions(folder=ROOT / "data")
    _, test = small_collections(folder=ROOT / "data")
    return SimpleNamespace(
        given=given, truth=every, test=test, max_tokens=48, batch_size=128, epochs=4,
        metric="RR@10",
    )  # fmt: skip


def answered(drawn, found, truth):
    """What somebody who knows the hidden list says of a draw."""
    from workbench.audit.toys import toy_verdicts

    return toy_verdicts(drawn.pairs(), found, truth)


def taught(start, found, truth, wanted, *, seed):
    """The suspicion after `wanted` judgments in growing rounds, and the draws."""
    from workbench.audit import draw
    from workbench.types import Verdicts

    now, draws, rows = start, [], []
    while len(rows) < wanted:
        n = min(max(FIRST // 2, len(rows)), wanted - len(rows))
        drawn = draw(now, n, seed=seed)
        said = answered(drawn, found, truth)
        rows += list(zip(said.query_ids, said.doc_ids, said.labels, strict=True))
        draws.append(drawn)
        now = start.judged(Verdicts.of(rows, judge="truth"))
    return now, draws, Verdicts.of(rows, judge="truth")


def quality(truth, value):
    """(average precision, AUC, precision at half the recall)."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    known = np.isfinite(value)
    precision, recall, _ = precision_recall_curve(truth[known], value[known])
    half = precision[np.flatnonzero(recall >= 0.5)[-1]]
    return (
        average_precision_score(truth[known], value[known]),
        roc_auc_score(truth[known], value[known]),
        half,
    )


def unreliability(truth, probability):
    """Mean difference between what is said and what is so, over ten equal steps of probability."""
    step = np.minimum((probability * 10).astype(int), 9)
    count = np.bincount(step, minlength=10)
    said, so = (np.bincount(step, one, minlength=10) for one in (probability, truth))
    return np.abs(said - so).sum() / count.sum()


def detection(name, parts, seeds):
    """(lines, figures, suspicions by number of judgments) of one collection."""
    from workbench.audit import suspicion

    world, found, guides, truth = parts
    there = found.docs >= 0
    flat = truth[there]
    begin = time.perf_counter()
    start = suspicion(found, world.given, guides=guides)
    spent = time.perf_counter() - begin
    lines = [
        f"{name}: {len(found.docs):,} queries, {there.sum():,} mined, {flat.mean():.1%} of them "
        f"hidden positives; {start.recipe['prior']}; {spent:.1f} s",
        f"{'':<28}{'AP':>7}{'AUC':>7}{'P at R .5':>11}",
    ]
    singles = {
        str(one): quality(flat, start.signals.column(str(one))) for one in start.signals.names
    }
    for one, numbers in sorted(singles.items(), key=lambda row: -row[1][0]):
        lines.append(f"{one:<28}" + "{:>7.3f}{:>7.3f}{:>11.3f}".format(*numbers))
    figures = {
        f"{name}: ap_0": quality(flat, start.prior[there])[0],
        f"{name}: best_single_ap": max(numbers[0] for numbers in singles.values()),
        f"{name}: margin_ap": singles[MARGIN][0],
    }
    numbers = quality(flat, start.prior[there])
    wrong = unreliability(flat, start.prior[there])
    lines.append(
        "suspicion, no judgment      "
        + "{:>7.3f}{:>7.3f}{:>11.3f}".format(*numbers)
        + f"   calibration error {wrong:.3f}"
    )
    figures[f"{name}: calibration_error_0"] = wrong
    stages = {0: [start] * seeds}
    for wanted in (FIRST, SECOND):
        stages[wanted] = [
            taught(start, found, truth, wanted, seed=seed)[0] for seed in range(seeds)
        ]
        every = np.array([quality(flat, one.probability[there]) for one in stages[wanted]])
        shown = "{:>7.3f}{:>7.3f}{:>11.3f}".format(*every.mean(axis=0))
        wrong = np.mean([unreliability(flat, one.probability[there]) for one in stages[wanted]])
        lines.append(
            f"suspicion, {wanted:>3} judgments    {shown}   AP {every[:, 0].min():.3f} to "
            f"{every[:, 0].max():.3f}, {seeds} draws; calibration error {wrong:.3f}"
        )
        figures[f"{name}: calibration_error_{wanted}"] = wrong
        figures[f"{name}: ap_{wanted}"] = every[:, 0].mean()
        figures[f"{name}: ap_{wanted}_lowest"] = every[:, 0].min()
    return lines, figures, stages


def coverage(name, parts, start, draws):
    """How often the interval of the estimated count holds the truth."""
    from workbench.audit import draw, false_negatives

    _, found, _, truth = parts
    lines, figures = [], {}
    for wanted in (FIRST, SECOND):
        counts = []
        for seed in range(draws):
            drawn = draw(start, wanted, seed=seed)
            counts.append(false_negatives(drawn, answered(drawn, found, truth), seed=seed))
        inside = np.mean([one.low <= truth.sum() <= one.high for one in counts])
        wide = np.mean([one.high - one.low for one in counts])
        mean = np.mean([one.count for one in counts])
        lines.append(
            f"{name}, {wanted} judgments: {inside:.0%} of {draws} intervals hold the truth "
            f"{truth.sum():,}; estimates average {mean:,.0f}, intervals are {wide:,.0f} wide"
        )
        figures[f"{name}: coverage_{wanted}"] = inside
    inside, ends = 0, []
    for seed in range(max(1, draws // 5)):
        _, several, verdicts = taught(start, found, truth, SECOND, seed=seed + 1000)
        one = false_negatives(several, verdicts, seed=seed)
        inside += one.low <= truth.sum() <= one.high
        ends.append(one.high - one.low)
    share_inside = inside / len(ends)
    lines.append(
        f"{name}, {SECOND} in growing rounds with learning between: {share_inside:.0%} of "
        f"{len(ends)}, {np.mean(ends):,.0f} wide"
    )
    figures[f"{name}: coverage_rounds"] = share_inside
    return lines, figures


def training(name, parts, stages, *, seeds, epochs):
    """The encoder trained with the two best-ranked negatives that each leaves."""
    from dataclasses import replace

    from workbench import mine
    from workbench.rules import Guide, Scored

    world, found, guides, truth = parts

    def ruled(rule, **given):
        return mine.apply_rules(found, [rule], collection=world.given, **given)

    fixed = {
        "plain": found,
        "oracle": replace(found, weight=found.weight * ~truth),
        "gist": ruled(Guide(), guide=guides["minilm"]),
    }
    for wanted in (0, FIRST, SECOND):
        fixed[f"suspicion, {wanted}"] = ruled(
            Scored(fact="suspicion", at_most=DROP), scores={"suspicion": stages[wanted][0].table()}
        )
    values = trained(world, fixed, seeds=seeds, epochs=epochs)
    lines = [
        f"{name}, trained on {HARD} negatives per query, {len(world.given.pairs):,} pairs, "
        f"{epochs or world.epochs} epochs, seeds 0 to {seeds - 1}",
        f"{'':<22}{world.metric:>8}{'share of headroom':>27}   left hidden",
    ]
    figures = {}
    for key, value in values.items():
        part, low, high, stands = share(values["plain"], value, values["oracle"])
        told = f"{part:>10.0%} [{low:>6.0%}, {high:>5.0%}]" if stands else f"{'-':>10}"
        kept = (fixed[key].weight > 0) & (found.docs >= 0)
        first = np.cumsum(kept, axis=1) * kept
        used = kept & (first <= HARD)
        lines.append(
            f"{key:<22}{value.mean():>8.4f}{'' if key in ('plain', 'oracle') else told:<27}"
            f"{truth[used].mean():>14.1%}"
        )
        if key.startswith("suspicion"):  # a share of nothing is said to be 0
            ends = zip(("", "_low", "_high"), (part, low, high), strict=True)
            number = key.split()[-1]
            figures |= {f"{name}: headroom_{number}{end}": stands * one for end, one in ends}
    return lines, figures


def one(name, train, quick):
    """(lines, figures) of one collection."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    seeds, draws = (1, 5) if quick else (SEEDS, DRAWS)
    parts = mined(name)
    lines, figures, stages = detection(name, parts, seeds)
    more = [coverage(name, parts, stages[0][0], draws)]
    if train:
        more.append(training(name, parts, stages, seeds=seeds, epochs=1 if quick else None))
    for some, numbers in more:
        lines += ["", *some]
        figures |= numbers
    return lines, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one collection, few draws and epochs")
    parser.add_argument("--only", choices=NAMES, action="append", help="these collections")
    options = parser.parse_args()
    there = SHARED.is_dir()
    names = list(options.only or ([QUICK] if options.quick else NAMES)) if there else [COPIED]
    print(f"all-MiniLM-L6-v2's top {DEPTH}; bag of WordPieces, {DIM} dim, InfoNCE at {TEMPERATURE}")
    os.environ["OMP_NUM_THREADS"] = "1" if len(names) > 1 else "2"
    context = multiprocessing.get_context("spawn")
    figures = {}
    with ProcessPoolExecutor(min(2, len(names)), mp_context=context) as pool:
        train = [name in TRAINED or not there for name in names]
        found = [pool.submit(one, *row, options.quick) for row in zip(names, train, strict=True)]
        for lines, some in (part.result() for part in found):
            print("\n" + "\n".join(lines), flush=True)
            figures |= some
    first = names[0]
    for key in ("ap_0", "ap_50", "ap_200", "best_single_ap", "headroom_0", "headroom_200"):
        if f"{first}: {key}" in figures:
            figures[key] = figures[f"{first}: {key}"]
    figures["coverage"] = min(
        figures[f"{name}: coverage_{wanted}"] for name in names for wanted in (FIRST, SECOND)
    )
    print(json.dumps({name: round(float(value), 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
