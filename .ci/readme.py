"""Write the generated parts of README.md: the result table and the lists of parts.

    python .ci/readme.py            rewrites them
    python .ci/readme.py --check    exits 1 if they are out of date

Results are the records (`result.json`) of tour runs, one per seed, kept in docs/results/.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = sorted((ROOT / "docs" / "results").glob("00_tour-seed*.json"))
COMMAND = 'make run PARAMS="seed=N"'


def results() -> str:
    """One row per seed, and the mean."""
    if not RESULTS:
        raise SystemExit(f"docs/results holds no record: copy result.json there after {COMMAND}")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS]
    metric = records[0]["metric"]
    lines = [
        f"| seed | MiniLM as it comes, {metric} | fine-tuned | difference, 95 % interval |",
        "|---|---|---|---|",
    ]
    for one in records:
        gap = one["difference"]
        lines.append(
            f"| {one['seed']} | {one['zero_shot']:.3f} | {one['trained']:.3f} "
            f"| {gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}] |"
        )
    zero, tuned, gap = (
        mean(one["zero_shot"] for one in records),
        mean(one["trained"] for one in records),
        mean(one["difference"]["mean"] for one in records),
    )
    lines.append(f"| **mean** | **{zero:.3f}** | **{tuned:.3f}** | **{gap:+.3f}** |")
    seeds = ", ".join(str(one["seed"]) for one in records)
    return "\n".join([*lines, "", f"Made by `{COMMAND}` for N = {seeds}."])


def parts() -> str:
    """What is registered, by kind."""
    import workbench.losses
    import workbench.mine
    import workbench.rules
    import workbench.sample  # noqa: F401 -- importing a room registers its parts
    from workbench import registry

    lines = ["| kind | name | what it does |", "|---|---|---|"]
    for kind in (
        "miner",
        "rule",
        "pair_rule",
        "loss",
        "vector_loss",
        "pair_loss",
        "wrapper",
        "sampler",
    ):
        for name, says in registry.table(kind):
            lines.append(f"| {kind} | `{name}` | {says} |")
    return "\n".join(lines)


def rewritten(text: str) -> str:
    """README with both parts made anew between their marks."""
    for name, made in (("results", results()), ("parts", parts())):
        mark = rf"(<!-- {name}: generated -->\n).*?(<!-- end -->)"
        text, count = re.subn(
            mark, lambda m, made=made: m[1] + made + "\n" + m[2], text, flags=re.S
        )
        if count != 1:
            raise SystemExit(f"README.md must hold the marks of {name!r} once, not {count} times")
    return text


def main() -> int:
    """Rewrite, or say whether rewriting would change anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = README.read_text(encoding="utf-8")
    new = rewritten(text)
    if parser.parse_args().check:
        return int(new != text)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
