"""Texts per second: `Encoder.encode` beside `SentenceTransformer.encode`, same model, same texts.

The texts are functions of installed packages. Both run in turn in one process with the same number
of threads; figures are medians. Run: python benchmarks/encode.py [--quick]
"""

import argparse
import ast
import json
import logging
import os
import platform
import random
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch


def functions(count, seed=0):
    """Source code of functions of installed packages, in random order."""
    import scipy

    found = []
    for path in sorted(Path(scipy.__file__).parent.glob("[is]*/*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                found.append(ast.get_source_segment(source, node))
        if len(found) > 8 * count:
            break
    random.Random(seed).shuffle(found)
    return list(dict.fromkeys(found))[:count]


def seconds(run):
    started = time.perf_counter()
    values = run()
    return time.perf_counter() - started, values


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 45 s on two cores")
    quick = parser.parse_args().quick
    from sentence_transformers import SentenceTransformer

    from workbench.encode import Encoder, scratch
    from workbench.encode.hub import find_folder

    logging.getLogger("workbench").setLevel(logging.ERROR)  # truncation is the same for both
    texts = functions(48 if quick else 512)
    repeats = 3 if quick else 7
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ours = Encoder.load("all-MiniLM-L6-v2", device=device)
    theirs = SentenceTransformer(str(find_folder("all-MiniLM-L6-v2")), device=device)
    times = {"peer": [], "ours": []}
    theirs.encode(texts[:16])
    ours.encode(texts[:16], progress=False)
    for _ in range(repeats):
        spent, expected = seconds(lambda: theirs.encode(texts))
        times["peer"].append(spent)
        spent, made = seconds(lambda: ours.encode(texts, progress=False).values)
        times["ours"].append(spent)
    rate = {name: len(texts) / float(np.median(spent)) for name, spent in times.items()}
    ratios = np.array(times["peer"]) / np.array(times["ours"])
    difference = float(np.abs(made - expected).max())
    bag = scratch(texts, vocab_size=8000, dim=256, device="cpu")
    bag_seconds, _ = seconds(lambda: bag.encode(texts, progress=False))
    tokens = ours.report["tokens"]
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU {platform.machine()}"
    print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"{len(texts)} functions, {tokens / len(texts):.0f} tokens each, {repeats} runs in turn\n"
    )
    print(f"{'':34}{'texts/s':>10}{'tokens/s':>12}")
    for name, label in (("peer", "SentenceTransformer.encode"), ("ours", "Encoder.encode")):
        print(f"{label:34}{rate[name]:10.1f}{rate[name] * tokens / len(texts):12.0f}")
    print(f"{'Encoder.encode, bag from scratch':34}{len(texts) / bag_seconds:10.1f}")
    print(f"\nratio per run {ratios.round(2).tolist()}, largest difference {difference:.1e}")
    figures = {
        "encode_ratio": round(float(np.median(ratios)), 3),
        "ours_texts_per_second": round(rate["ours"], 1),
        "peer_texts_per_second": round(rate["peer"], 1),
        "largest_difference": difference,
        "device": device,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
