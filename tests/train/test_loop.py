"""The loop: resume is bitwise, caching equals plain, interrupts and kills leave whole states."""

import asyncio
import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench import losses, rules
from workbench.data import KnownPositives, from_rows, sample
from workbench.encode import Encoder, VectorCache, encode_collection, scratch
from workbench.errors import BadArgument
from workbench.sample import ConflictFree, Shuffled
from workbench.train import Contrast, Hard, InBatch, Knowledge, NonFiniteLoss, Recipe, fit

WORDS = "add sub mul div sum max min sort map zip join split strip read write open close".split()


@pytest.fixture(autouse=True)
def one_thread():
    """Sums depend on the number of threads, and some tests compare bits with a child process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def collection():
    rng = np.random.default_rng(0)
    rows = []
    for number in range(48):
        words = rng.choice(WORDS, size=4, replace=False).tolist()
        rows.append(
            {
                "query": f"how to {' and '.join(words[:2])} item {number}",
                "positive": f"def {words[0]}_{number}({words[1]}): return {' '.join(words[2:])}",
            }
        )
    return from_rows(rows, name="toy")


def encoder_of(collection, kind="transformer", seed=0, dropout=0.1):
    texts = collection.query_texts + collection.doc_texts
    encoder = scratch(texts, kind=kind, dim=16, vocab_size=200, layers=1, heads=2, seed=seed)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return encoder


def sampler_of(collection, seed=0, batch_size=8):
    return Shuffled(collection.pairs, batch_size=batch_size, seed=seed)


RECIPE = Recipe(steps=9, learning_rate=1e-2)


def run_of(collection, *, encoder=None, recipe=RECIPE, contrast=None, **options):
    return fit(
        encoder or encoder_of(collection),
        collection,
        sampler_of(collection),
        contrast or Contrast(),
        recipe=recipe,
        **options,
    )


def weights(encoder):
    return {name: value.detach().clone() for name, value in encoder.named_parameters()}


def assert_equal(one, two, *, exact=True):
    assert one.keys() == two.keys()
    for name in one:
        if exact:
            assert torch.equal(one[name], two[name]), name
        else:
            torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.slow
def test_it_learns_and_reports(collection):
    run = run_of(collection, recipe=Recipe(epochs=8, learning_rate=1e-2))
    rows = list(run)
    assert len(rows) == run.total == 8 * 6
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert [row["step"] for row in rows] == list(range(1, 49))
    assert rows[0]["candidates"] == 8 * 7
    assert run.history.frame()["loss"].tolist() == [row["loss"] for row in rows]
    assert run.encoder.age == 48


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 4, 7])
def test_resume_is_bitwise(collection, tmp_path, stop):
    straight = run_of(collection)
    losses_straight = [row["loss"] for row in straight]
    first = run_of(collection, folder=tmp_path)
    for row in first:
        if row["step"] == stop:
            break
    first.save()
    second = run_of(collection, folder=tmp_path)
    assert second.step == stop
    for _ in second:
        pass
    assert [row["loss"] for row in second.history.rows] == losses_straight
    assert_equal(weights(second.encoder), weights(straight.encoder))
    assert second.encoder.age == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"ema": 0.9}, {"accumulate": 2}, {"cache_gradients": True, "token_budget": 32}]
)
def test_resume_is_bitwise_with_every_option(collection, tmp_path, options):
    recipe = Recipe(steps=6, learning_rate=1e-2, **options)

    def sampled(folder=None):
        known = KnownPositives.of(collection)
        sampler = ConflictFree(collection.pairs, batch_size=8, known=known, seed=3)
        encoder = encoder_of(collection)
        return fit(encoder, collection, sampler, Contrast(), recipe=recipe, folder=folder)

    straight = sampled()
    for _ in straight:
        pass
    first = sampled(tmp_path)
    next(first)
    next(first)
    first.save()
    second = sampled(tmp_path)
    for _ in second:
        pass
    assert_equal(weights(second.encoder), weights(straight.encoder))
    if straight.ema is not None:
        assert_equal(weights(second.averaged()), weights(straight.averaged()))


@pytest.mark.slow
def test_break_and_go_on_is_the_same_run(collection):
    straight, broken = run_of(collection), run_of(collection)
    for _ in straight:
        pass
    for row in broken:
        if row["step"] == 3:
            break
    torch.manual_seed(123)  # what a user does between must not matter
    torch.rand(7)
    for _ in broken:
        pass
    assert_equal(weights(straight.encoder), weights(broken.encoder))


def test_the_users_randomness_is_left_alone(collection):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    next(run_of(collection))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("budget", [16, 64, 4096])
def test_gradient_cache_equals_the_plain_step(collection, budget, dropout):
    """Same micro-batches, same random states: equal whether or not graphs are kept."""
    contrast = Contrast(candidates=[InBatch("ap", "aa", "pp")], directions="both")
    results = []
    for cached in (False, True):
        recipe = Recipe(steps=3, learning_rate=1e-3, token_budget=budget, cache_gradients=cached)
        encoder = encoder_of(collection, dropout=dropout)
        run = run_of(collection, encoder=encoder, recipe=recipe, contrast=contrast)
        results.append(([row["loss"] for row in run], weights(encoder)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-4)
    assert_equal(results[0][1], results[1][1], exact=False)


@pytest.mark.slow
def test_micro_batches_do_not_change_the_numbers(collection):
    results = []
    for budget in (16, 100_000):
        recipe = Recipe(steps=3, learning_rate=1e-3, token_budget=budget)
        encoder = encoder_of(collection, dropout=0.0)
        results.append([row["loss"] for row in run_of(collection, encoder=encoder, recipe=recipe)])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_accumulation_averages_batches(collection):
    """Two batches of one step give the mean of their gradients."""
    encoder = encoder_of(collection, dropout=0.0)
    recipe = Recipe(steps=1, accumulate=2, clip=None)
    run = run_of(collection, encoder=encoder, recipe=recipe)
    row = next(run)
    parts = [run_of(collection, encoder=encoder_of(collection, dropout=0.0)) for _ in range(2)]
    values = []
    for place, part in enumerate(parts):
        part._position = (0, place)
        values.append(next(part)["loss"])
    assert np.isclose(row["loss"], np.mean(values), rtol=1e-5)
    assert row["pairs"] == 16


@pytest.mark.slow
def test_moving_average_is_between_start_and_end(collection):
    encoder = encoder_of(collection)
    start = weights(encoder)
    run = run_of(collection, encoder=encoder, recipe=Recipe(steps=6, learning_rate=1e-2, ema=0.5))
    found = run.finish(progress=False)
    assert found is not encoder
    expected = {}
    twin = run_of(collection, recipe=Recipe(steps=6, learning_rate=1e-2))
    average = copy.deepcopy(start)
    for row in twin:
        decay = min(0.5, row["step"] / (9 + row["step"]))
        for name, value in weights(twin.encoder).items():
            average[name] = average[name] * decay + value * (1 - decay)
        expected = average
    assert_equal(weights(found), expected, exact=False)
    assert_equal(weights(run.encoder), weights(twin.encoder))


@pytest.mark.slow
def test_replay_rebuilds_any_logged_batch(collection, tmp_path):
    run = run_of(collection, folder=tmp_path, save_every=4)
    seen = {row["step"]: row for row in run}
    for step in (1, 7, 9):
        (batch,) = run.replay(step)
        expected = run.batches(int(seen[step]["epoch"]))[int(seen[step]["batch"])]
        assert np.array_equal(batch.rows, expected.rows)
    with pytest.raises(BadArgument, match=r"`step` is 10, but steps 1\.\.9 are logged"):
        run.replay(10)
    run.sampler = sampler_of(collection, seed=7)
    run._epoch_batches = (-1, [])
    with pytest.raises(BadArgument, match="The sampler or its data changed since"):
        run.replay(2)


@pytest.mark.slow
def test_async_iteration_lets_others_act(collection):
    run, ticks = run_of(collection), []

    async def other():
        while run.step < 9:
            ticks.append(run.step)
            await asyncio.sleep(0)

    async def both():
        task = asyncio.create_task(other())
        rows = [row async for row in run]
        await task
        return rows

    assert len(asyncio.run(both())) == 9
    assert len(set(ticks)) >= 8


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_not_finite_stops_with_rows_and_changes_nothing(collection, tmp_path, what):
    encoder = encoder_of(collection)
    run = run_of(collection, encoder=encoder, folder=tmp_path, save_every=2)
    next(run)
    next(run)
    (batch,), _ = run._take(*run._position)
    before, files = weights(encoder), sorted(tmp_path.rglob("*"))
    poisoned = run.contrast
    bad = Contrast(loss=Poison() if what == "loss" else PoisonedGradient())
    object.__setattr__(run._stepper, "contrast", bad)
    with pytest.raises(NonFiniteLoss, match=rf"step 3: the {what} is not finite") as caught:
        next(run)
    assert caught.value.rows == batch.rows.tolist()
    assert_equal(weights(encoder), before)
    assert sorted(tmp_path.rglob("*")) == files
    object.__setattr__(run._stepper, "contrast", poisoned)
    assert next(run)["step"] == 3  # and it can go on


class Poison(losses.InfoNCE):
    """A loss that is not a number."""

    def combine(self, positive, negatives):
        return super().combine(positive, negatives) * float("nan")


class PoisonedGradient(losses.InfoNCE):
    """A loss that is a number and whose gradient is not."""

    def combine(self, positive, negatives):
        value = super().combine(positive, negatives)
        value.register_hook(lambda gradient: gradient * float("nan"))
        return value


@pytest.mark.slow
def test_checkpoints_are_pruned_and_the_best_stays(collection, tmp_path):
    values = iter([0.1, 0.9, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1])
    run = run_of(
        collection,
        folder=tmp_path,
        save_every=1,
        keep=2,
        evaluate=lambda encoder: next(values),
        evaluate_every=1,
    )
    for _ in run:
        pass
    kept = sorted(path.name for path in tmp_path.glob("step-*"))
    assert kept == ["step-00000002", "step-00000008", "step-00000009"]
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 2, "value": 0.9}
    vectors = Encoder.load(tmp_path / kept[-1] / "encoder").encode(["add"], progress=False).values
    np.testing.assert_allclose(
        vectors, run.encoder.encode(["add"], progress=False).values, atol=1e-6
    )


def test_hard_negatives_reach_the_loss(collection):
    from workbench.types import Candidates

    count = len(collection.queries)
    docs = (np.arange(count)[:, None] + np.array([[1, 2]])) % count
    mined = Candidates(
        query_ids=collection.query_ids,
        doc_ids=collection.doc_ids,
        docs=docs,
        scores=np.ones(docs.shape, dtype=np.float32),
        ranks=np.tile(np.array([[1, 2]], dtype=np.int32), (count, 1)),
        weight=np.ones(docs.shape, dtype=np.float32),
        positive_scores=np.ones(count, dtype=np.float32),
        miner="by hand",
    )
    sampler = Shuffled(collection.pairs, batch_size=8, seed=0, negatives=mined, num_negatives=2)
    contrast = Contrast(candidates=[InBatch("ap"), Hard(2)])
    run = fit(encoder_of(collection), collection, sampler, contrast, recipe=Recipe(steps=1))
    row = next(run)
    assert row["candidates"] > 8 * 7 + 8 * 14


@pytest.mark.slow
def test_guide_is_encoded_once_per_text(collection, tmp_path):
    """A second training run encodes nothing (PEERS 3a.2: a peer encodes every text every step)."""
    guide = encoder_of(collection, kind="bag", seed=9)

    def trained():
        cache = VectorCache(tmp_path)
        vectors = encode_collection(guide, collection, cache=cache, progress=False)
        contrast = Contrast(candidates=[InBatch("ap", "aa", "pp")], rules=[rules.Guide(margin=0.1)])
        knowledge = Knowledge.of(collection, guide=vectors)
        run = run_of(collection, contrast=contrast, knowledge=knowledge)
        return sum(row["dropped"] for row in run), cache.encoded

    dropped, first = trained()
    again, second = trained()
    texts = set(collection.query_texts) | set(collection.doc_texts)
    assert first == len(texts)
    assert second == 0
    assert dropped == again > 0


CHILD = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_loop import collection, run_of
toy = collection.__wrapped__() if hasattr(collection, "__wrapped__") else collection()
run = run_of(toy, folder=Path({folder!r}), save_every=1)
print("ready", run.step, flush=True)
for row in run:
    print(row["step"], flush=True)
"""


def child(folder, tests):
    code = CHILD.format(folder=str(folder), tests=str(tests))
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_runs_go_on_bitwise(collection, tmp_path, number):
    tests = Path(__file__).parent
    for stop in (2, 5):
        process = child(tmp_path, tests)
        for line in process.stdout:
            if line.strip().isdigit() and int(line) >= stop:
                process.send_signal(number)
                break
        process.wait(timeout=60)
        process.stdout.close()
        process.stderr.close()
        time.sleep(0.1)
    rest = run_of(collection, folder=tmp_path)
    assert rest.step >= 5
    for _ in rest:
        pass
    straight = run_of(collection)
    for _ in straight:
        pass
    assert_equal(weights(rest.encoder), weights(straight.encoder))
    assert [row["step"] for row in rest.history.rows] == list(range(1, 10))


def test_interrupt_waits_for_the_step_and_saves(collection, tmp_path):
    run = run_of(collection, folder=tmp_path, evaluate=None)
    next(run)
    step = run._stepper.gradients

    def interrupting(batches, number):
        os.kill(os.getpid(), signal.SIGINT)
        return step(batches, number)

    object.__setattr__(run, "_stepper", Interrupting(run._stepper, interrupting))
    with pytest.raises(KeyboardInterrupt, match="stopped whole after step 2"):
        next(run)
    assert (tmp_path / "step-00000002/encoder").is_dir()
    assert run.step == 2


class Interrupting:
    def __init__(self, stepper, gradients):
        self.stepper, self.gradients = stepper, gradients
        self.remember = stepper.remember


@pytest.mark.slow
def test_another_recipe_does_not_overwrite(collection, tmp_path):
    run = run_of(collection, folder=tmp_path, save_every=3)
    for _ in run:
        pass
    with pytest.raises(BadArgument, match="it holds a run with other data or options"):
        run_of(collection, folder=tmp_path, recipe=Recipe(steps=9, learning_rate=5e-3))
    with pytest.raises(BadArgument, match="it already holds a run"):
        run_of(collection, folder=tmp_path, resume=False)


def test_parts_of_another_collection_are_refused(collection):
    part = sample(collection, 20, seed=0)
    with pytest.raises(BadArgument, match="it was made of another collection"):
        fit(
            encoder_of(part), part, sampler_of(part), Contrast(), knowledge=Knowledge.of(collection)
        )
    with pytest.raises(BadArgument, match="it brings 0 mined negatives per row where the contrast"):
        run_of(collection, contrast=Contrast(candidates=[InBatch("ap"), Hard(1)]))


@pytest.mark.slow
def test_the_last_step_is_always_kept_and_a_finished_run_is_not_repeated(collection, tmp_path):
    run = run_of(collection, folder=tmp_path)
    for _ in run:
        pass
    assert (tmp_path / "step-00000009/encoder").is_dir()
    again = run_of(collection, folder=tmp_path)
    assert list(again) == []
    assert len(again.history) == 9
    assert again.encoder.age == 9


def test_half_precision_weights_are_trained_in_full(collection):
    encoder = encoder_of(collection).to(torch.bfloat16)
    before = weights(encoder)
    for _ in run_of(collection, encoder=encoder, recipe=Recipe(steps=3, learning_rate=1e-6)):
        pass
    after = weights(encoder)
    assert {value.dtype for value in after.values()} == {torch.float32}
    name = "body.model.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(before[name].float(), after[name])


def test_rules_without_facts_are_refused_before_any_work(collection):
    with pytest.raises(BadArgument, match="it needs guide, which was not given"):
        run_of(collection, contrast=Contrast(rules=[rules.Guide()]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0}, r"`learning_rate` is 0, but it must be > 0"),
        ({"epochs": 0}, r"`epochs` is 0"),
        ({"warmup": 1.5}, r"`warmup` is 1\.5, but it must be <= 1"),
        ({"ema": 1.0}, r"`ema` is 1\.0, but it must be between 0 and 1"),
        ({"clip": -1}, r"`clip` is -1"),
    ],
)
def test_wording(options, message):
    with pytest.raises(BadArgument, match=message):
        Recipe(**options)


@pytest.mark.parametrize(("schedule", "rate"), [("cosine", 0.853553), ("linear", 0.75)])
def test_a_quarter_of_the_way_down(schedule, rate):
    recipe = Recipe(learning_rate=1.0, warmup=0.0, schedule=schedule)
    assert np.isclose(recipe.rate(5, 20), rate, atol=1e-5)


def test_clipping_bounds_the_step(collection):
    norms = []
    for clip in (None, 1e-3):
        recipe = Recipe(steps=1, clip=clip, weight_decay=0.0)
        run = run_of(collection, encoder=encoder_of(collection, dropout=0.0), recipe=recipe)
        row = next(run)
        left = torch.stack([p.grad.norm() for p in run.encoder.parameters() if p.grad is not None])
        norms.append((row["gradient_norm"], float(left.norm())))
    assert np.isclose(norms[0][0], norms[1][0], rtol=1e-5)
    assert np.isclose(norms[0][1], norms[0][0], rtol=1e-4)
    assert norms[1][1] <= 1.01e-3


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_bf16_stays_near_fp32_and_keeps_fp32_weights(collection, cached):
    values = []
    for precision in ("no", "bf16"):
        recipe = Recipe(steps=4, precision=precision, cache_gradients=cached)
        encoder = encoder_of(collection, dropout=0.0)
        run = run_of(collection, encoder=encoder, recipe=recipe)
        values.append([row["loss"] for row in run])
        assert {value.dtype for value in weights(encoder).values()} == {torch.float32}
    np.testing.assert_allclose(values[0], values[1], rtol=0.03)
    assert values[0] != values[1]


def test_precision_and_budget_follow_the_device():
    assert Recipe().half("cuda")
    assert not Recipe().half("cpu")
    assert Recipe(precision="bf16").half("cpu")
    assert Recipe().budget("cuda") > Recipe().budget("cpu")
    assert Recipe(token_budget=7).budget("cuda") == 7


@pytest.mark.gpu
def test_a_gpu_trains_in_bf16(collection):
    if not torch.cuda.is_available():
        pytest.skip("no GPU: run with WORKBENCH_GPU_TESTS=1 where there is one")
    contrast = Contrast(candidates=[InBatch("ap", "aa", "pp")], chunk=4, directions="both")
    run = run_of(collection, contrast=contrast, recipe=Recipe(epochs=8, learning_rate=1e-2))
    rows = list(run)
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_schedules(schedule):
    recipe = Recipe(learning_rate=1.0, schedule=schedule, warmup=0.25)
    rates = [recipe.rate(step, 20) for step in range(20)]
    assert rates[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert min(rates) > 0
    if schedule == "constant":
        assert set(rates[5:]) == {1.0}
    else:
        assert sorted(rates[5:], reverse=True) == rates[5:]


def in_two_processes(text, folder):
    """Run a script under torchrun, two gloo processes of one thread; it writes into the folder."""
    script = folder / "two.py"
    script.write_text(text.format(tests=str(Path(__file__).parent), folder=str(folder)))
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    environment["PYTHONWARNINGS"] = "ignore"
    subprocess.run(
        [*command, "--nproc_per_node", "2", str(script)], check=True, env=environment, timeout=200
    )


@pytest.mark.slow
def test_two_processes_train_as_one(collection, tmp_path):
    """Two gloo processes with one batch each take the step of one process with both batches."""
    in_two_processes(TWO, tmp_path)
    one = run_of(
        collection,
        encoder=encoder_of(collection, dropout=0.0),
        recipe=Recipe(steps=4, learning_rate=1e-2, accumulate=2),
    )
    for _ in one:
        pass
    for cached in (False, True):
        found = [torch.load(tmp_path / f"{rank}-{cached}.pt", weights_only=True) for rank in (0, 1)]
        assert_equal(found[0], found[1], exact=False)
        assert_equal(found[0], weights(one.encoder), exact=False)


TWO = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_loop import collection, encoder_of, run_of, weights
from workbench.train import Recipe
toy = collection.__wrapped__() if hasattr(collection, "__wrapped__") else collection()
for cached in (False, True):
    recipe = Recipe(steps=4, learning_rate=1e-2, cache_gradients=cached)
    run = run_of(toy, encoder=encoder_of(toy, dropout=0.0), recipe=recipe)
    for _ in run:
        pass
    name = f"{{run.accelerator.process_index}}-{{cached}}.pt"
    torch.save(weights(run.encoder), {folder!r} + "/" + name)
"""
