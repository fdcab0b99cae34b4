"""The built-in collection: what functions say they do -> what they do, from installed packages."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from workbench.data import sets
from workbench.data.duplicates import exact_duplicates, joined, near_duplicates
from workbench.data.python_packages import chosen, python_files, version
from workbench.data.python_source import PythonFunction, functions_of
from workbench.errors import BadArgument, BadData, check_choice, check_count
from workbench.files import fingerprint
from workbench.types import Collection, Ints

DOCUMENTS = ("mixed", "code", "body")
_edition = 1  # raised whenever the same packages would give another collection


@dataclass(frozen=True, kw_only=True)
class _Options:
    document: str
    min_doc_words: int
    max_code_chars: int
    seed: int


class _Found(NamedTuple):
    package: str
    module: str
    function: PythonFunction

    @property
    def label(self) -> str:
        return f"{self.package}:{self.module}.{self.function.qualname}#{self.function.line}"


def python_functions(
    packages: Sequence[str] | None = None,
    *,
    document: str = "mixed",
    folder: str | Path = "data",
    min_doc_words: int = 3,
    max_code_chars: int = 20_000,
    seed: int = 0,
) -> Collection:
    """Docstrings and the functions they describe, from Python packages on this machine.

    A query is the first paragraph of a docstring; its document is the function without the
    docstring. `source` is the package. Packages are read as text, never imported. Document groups
    are near-duplicates (Jaccard >= 0.8 of 5-token shingles), so copied functions are *known* false
    negatives; query groups are equal paragraphs. As in CodeSearchNet, tests, dunder methods and
    functions of fewer than three lines are left out.

    The result is kept in `folder` and read back on the next call, as long as the options and the
    packages' versions are the same. The first call for everything takes one to two minutes.

    Args:
        packages: distribution names as `pip list` shows them, and "stdlib"; by default the
            standard library and whatever this workbench's own stack pulled in.
        document: "code" keeps the function's name, which often gives the answer away; "body"
            replaces it everywhere; "mixed" tosses a coin per function.
        folder: where the finished collection is kept.
        min_doc_words: shorter paragraphs are left out.
        max_code_chars: longer functions are left out.
        seed: of the coins.

    Returns:
        One pair per function, in the order of packages, files and lines.

    Raises:
        BadArgument: a package is not installed, or an option is out of range.
        BadData: no documented function was found.

    Source: Husain et al., 2019 (CodeSearchNet's filters).

    Breaks when: docstrings were written by a machine, or copied along with code that then changed.
    """
    check_choice("document", document, DOCUMENTS)
    check_count("min_doc_words", min_doc_words, mend="Try 3.")
    check_count("max_code_chars", max_code_chars, mend="Try 20000.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    names = chosen(packages)
    options = _Options(
        document=document,
        min_doc_words=int(min_doc_words),
        max_code_chars=int(max_code_chars),
        seed=int(seed),
    )
    versions = {name: version(name) for name in names}
    target = Path(folder) / f"python_functions-{fingerprint(_edition, versions, asdict(options))}"
    if (kept := _kept(target)) is not None:
        return kept
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        if (kept := _kept(target)) is not None:  # another process was faster
            return kept
        _build(names, options, versions).save(target)
    return Collection.load(target)


def _kept(target: Path) -> Collection | None:
    if not target.is_dir():
        return None
    with suppress(BadData, BadArgument):
        return Collection.load(target)
    shutil.rmtree(target)  # damaged: it is only a copy of what is installed
    return None


def _build(names: Sequence[str], options: _Options, versions: dict[str, str]) -> Collection:
    found = _collect(names, options)
    if not found:
        problem = f"no documented function in {', '.join(names)}"
        raise BadData("python_functions", [problem], "Name packages written in Python.")
    functions = [item.function for item in found]
    texts, groups = _documents(found, options)
    labels = [item.label for item in found]
    sources = [item.package for item in found]
    summaries = [function.summary for function in functions]
    cells = {(place, place): 1.0 for place in range(len(found))}
    return Collection(
        name="python_functions",
        queries=sets.table(labels, summaries, sources),
        corpus=sets.table(labels, texts, sources),
        qrels=sets.grades(cells, (len(found), len(found))),
        query_groups=exact_duplicates(summaries),
        doc_groups=groups,
        recipe={"python_functions": asdict(options), "versions": versions},
    )


def _collect(names: Sequence[str], options: _Options) -> list[_Found]:
    from tqdm.auto import tqdm

    files = [(name, module, path) for name in names for module, path in python_files(name)]
    found = []
    megabytes = sum(path.stat().st_size for _, _, path in files if path.is_file()) / 1e6
    wait = f"about {max(1, round(megabytes / 3.5))} s, only this once"
    progress = tqdm(files, desc=f"reading functions ({wait})", unit="file", disable=None)
    for name, module, path in progress:
        try:
            source = path.read_bytes()
        except OSError:  # listed by the package, but removed since
            continue
        functions = functions_of(
            source,
            min_doc_words=options.min_doc_words,
            max_code_chars=options.max_code_chars,
        )
        dotted = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        found += [_Found(name, dotted, function) for function in functions]
    return found


def _documents(found: list[_Found], options: _Options) -> tuple[list[str], Ints]:
    """Text and duplicate group of every function.

    With mixed documents two copies may be shown one with its name and one without: what counts is
    whether they are copies as written, or look alike as shown.
    """
    codes = [item.function.code for item in found]
    if options.document == "code":
        return codes, near_duplicates(codes)
    bodies = [item.function.body for item in found]
    if options.document == "body":
        return bodies, near_duplicates(bodies)
    # The coin hangs on the function, not on its place: adding a package changes no other document.
    coins = [int(fingerprint(options.seed, item.label), 16) % 2 for item in found]
    pairs = zip(codes, bodies, coins, strict=True)
    texts = [body if coin else code for code, body, coin in pairs]
    return texts, joined(near_duplicates(codes), near_duplicates(texts))
