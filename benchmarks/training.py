"""A whole training step with a guide: pairs per second, sentence-transformers' trainer and ours.

    python benchmarks/training.py [--quick]

Same student (all-MiniLM-L6-v2, reading its own limit of 256 tokens), same guide, same texts and
batch size, same thread count, AdamW, fp32 on a CPU; tokenising inside the clock for both; one
warm-up each, then in turn, medians. `step_ratio` is the steady state, in which our guide vectors
come from the cache; `first_epoch_ratio` charges us for encoding every text once.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # both on the CPU
import torch

TEMPERATURE = 0.05


def texts_of(count: int, folder: str):
    from workbench.data import python_functions, sample

    whole = python_functions(["papermill", "nbval", "jinja2", "tqdm"], folder=folder)
    return sample(whole, count, seed=0)


def ours(collection, batch_size: int, max_tokens: int):
    """(seconds of one epoch, seconds of encoding the guide's vectors)."""
    from workbench.encode import Encoder, encode_collection
    from workbench.losses import InfoNCE
    from workbench.rules import Guide
    from workbench.sample import Shuffled
    from workbench.train import Contrast, InBatch, Knowledge, Recipe, fit

    guide = Encoder.load(max_length=max_tokens)
    started = time.perf_counter()
    vectors = encode_collection(guide, collection, progress=False)
    guiding = time.perf_counter() - started
    contrast = Contrast(
        loss=InfoNCE(temperature=TEMPERATURE),
        candidates=[InBatch("ap", "aa", "pp")],
        rules=[Guide()],
    )
    student = Encoder.load(max_length=max_tokens)
    started = time.perf_counter()
    run = fit(
        student,
        collection,
        Shuffled(collection.pairs, batch_size=batch_size, seed=0),
        contrast,
        knowledge=Knowledge.of(collection, guide=vectors),
        recipe=Recipe(epochs=1, learning_rate=2e-5),
    )
    run.finish(progress=False)
    return time.perf_counter() - started, guiding


def theirs(collection, batch_size: int, max_tokens: int) -> float:
    """Seconds of one epoch of the peer's trainer with its GISTEmbedLoss."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss

    from workbench.encode.hub import find_folder

    folder = str(find_folder("all-MiniLM-L6-v2", code=False))
    model, guide = (SentenceTransformer(folder, device="cpu") for _ in range(2))
    model.max_seq_length = guide.max_seq_length = max_tokens
    rows = Dataset.from_dict({"anchor": collection.query_texts, "positive": collection.doc_texts})
    with tempfile.TemporaryDirectory() as output:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=output,
            num_train_epochs=1,
            per_device_train_batch_size=batch_size,
            learning_rate=2e-5,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        loss = GISTEmbedLoss(model, guide, temperature=TEMPERATURE)
        trainer = SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=rows, loss=loss
        )
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer pairs, under 45 s")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(2)
    pairs, batch_size, tokens, passes = (32, 16, 256, 1) if options.quick else (256, 64, 256, 3)
    from workbench.data import sample

    with tempfile.TemporaryDirectory() as folder:
        collection = texts_of(pairs, folder)
        warm = sample(collection, batch_size, seed=1)
        theirs(warm, batch_size, tokens)
        ours(warm, batch_size, tokens)
        slow, fast, guiding = [], [], []
        for _ in range(passes):
            slow.append(theirs(collection, batch_size, tokens))
            step, encoding = ours(collection, batch_size, tokens)
            fast.append(step)
            guiding.append(encoding)
    peer, mine, once = (statistics.median(part) for part in (slow, fast, guiding))
    print(f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{pairs} pairs, batch {batch_size}, at most {tokens} tokens, median of {passes}")
    print(f"{'':<34}{'s':>8}{'pairs/s':>10}")
    print(f"{'sentence-transformers trainer':<34}{peer:>8.2f}{pairs / peer:>10.1f}")
    print(f"{'workbench, guide from the cache':<34}{mine:>8.2f}{pairs / mine:>10.1f}")
    print(
        f"{'workbench, guide encoded first':<34}{mine + once:>8.2f}{pairs / (mine + once):>10.1f}"
    )
    figures = {"step_ratio": peer / mine, "first_epoch_ratio": peer / (mine + once)}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
