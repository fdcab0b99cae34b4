"""Which Python files belong to which installed distribution, found without importing anything."""

from __future__ import annotations

import json
import os
import platform
import re
import sysconfig
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from workbench.errors import BadArgument

STANDARD_LIBRARY = "stdlib"
ROOTS = (
    "jupyterlab", "ipywidgets", "torch", "transformers", "faiss-cpu", "umap-learn", "plotly",
    "papermill", "nbval",
)  # fmt: skip
_not_code = {
    "tests", "test", "_tests", "__pycache__", "site-packages", "dist-packages", "node_modules",
    "ensurepip", "idlelib", "lib2to3", "turtledemo",
}  # fmt: skip
_not_code_file = re.compile(r"(test_.*|.*_test|conftest)\.py$")


def normal_name(name: str) -> str:
    """A distribution's name as indexes compare it.

    Example:
        >>> normal_name("Faiss_CPU")
        'faiss-cpu'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def installed() -> tuple[str, ...]:
    """Normalised names of everything installed, `stdlib` among them, sorted."""
    names = {normal_name(found.metadata["Name"] or "") for found in metadata.distributions()}
    return tuple(sorted((names - {""}) | {STANDARD_LIBRARY}))


def closure(roots: Sequence[str] = ROOTS) -> tuple[str, ...]:
    """The installed ones among `roots`, all their installed requirements, and `stdlib`.

    Extras are not followed; a root that is not installed is passed over.
    """
    from packaging.requirements import Requirement

    present, reached = set(installed()), {STANDARD_LIBRARY}
    waiting = [normal_name(root) for root in roots]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in present:
            continue
        reached.add(name)
        for line in metadata.distribution(name).requires or []:
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                waiting.append(normal_name(wanted.name))
    return tuple(sorted(reached))


def chosen(packages: Sequence[str] | None) -> tuple[str, ...]:
    """`packages` normalised and sorted, or the default closure.

    Raises:
        BadArgument: not a list of names, or one is not installed (the nearest names are said).
    """
    if packages is None:
        return closure()
    if isinstance(packages, str) or not packages:
        mend = f"Write packages=[{packages!r}]." if packages else "Name one, or leave it out."
        raise BadArgument("packages", packages, "it must be a list of names", mend)
    for name in packages:
        if normal_name(str(name)) not in installed():
            near = get_close_matches(normal_name(str(name)), installed(), n=3, cutoff=0.5)
            mend = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Install it first."
            raise BadArgument("packages", name, "it must be installed in this environment", mend)
    return tuple(sorted({normal_name(name) for name in packages}))


def version(name: str) -> str:
    """What changes when the package's files change: its version, or stamps of editable files."""
    if name == STANDARD_LIBRARY:
        return platform.python_version()
    found = metadata.distribution(name)
    stamps = ""
    if _editable_folder(_origin(name)) is not None:
        parts = [(module, *_stamp(path)) for module, path in python_files(name)]
        stamps = f" {parts}"
    return f"{found.version}{stamps}"


def python_files(name: str) -> list[tuple[str, Path]]:
    """(path relative to the package's root, file) of every source file, tests left out, sorted."""
    if name == STANDARD_LIBRARY:
        files = list(_walk(Path(sysconfig.get_path("stdlib"))))
    elif (folder := _editable_folder(_origin(name))) is not None:
        files = list(_walk(folder))
    else:
        listed = metadata.distribution(name).files or []
        files = [(str(path), Path(str(path.locate()))) for path in listed if path.suffix == ".py"]
    kept = []
    for relative, path in files:
        parts = Path(relative).parts
        outside = parts[0] in ("..", "/") or _not_code & set(parts[:-1])
        if not outside and not _not_code_file.match(parts[-1]):
            kept.append((Path(relative).as_posix(), path))
    return sorted(kept)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _origin(name: str) -> str | None:
    return metadata.distribution(name).read_text("direct_url.json")


def _editable_folder(told: str | None) -> Path | None:
    """Where the source is, by what the installer noted; None for a package that was copied."""
    origin = json.loads(told or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(unquote(urlparse(origin["url"]).path)))


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [
            name
            for name in folders
            if name not in _not_code
            and not (here == folder and name in ("build", "dist"))
            and not name.startswith((".", "config-"))
            and not (here / name / "pyvenv.cfg").exists()
        ]
        for name in names:
            if name.endswith(".py"):
                yield (here / name).relative_to(folder).as_posix(), here / name
