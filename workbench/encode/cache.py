"""Vectors that were computed once are not computed again, and never another model's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import files
from workbench.encode.shelf import Shelf, text_key
from workbench.encode.tokens import check_texts
from workbench.types import Floats

if TYPE_CHECKING:
    import pandas as pd

    from workbench.encode.encoder import Encoder

_label = "label.json"
_hashed = ("weights", "architecture", "tokenizer")


def _difference(now: dict[str, Any], then: dict[str, Any]) -> list[str]:
    """What differs between two labels, in words."""
    return [
        f"{name} differ{'' if name == 'weights' else 's'}"
        if name in _hashed
        else f"{name} is {value!r}, was {then.get(name)!r}"
        for name, value in now.items()
        if then.get(name) != value
    ]


class VectorCache:
    """A folder of vectors, found by everything that decides them and by the text itself.

    The key is a hash of weights, architecture, tokenizer, pooling, normalisation, prompt, length
    and precision, with a hash of the text. Model names play no part, so a trained model never
    gets the vectors of the model it came from.

    Args:
        folder: where to keep it; several processes may share it.

    Example:
        >>> import tempfile
        >>> from workbench.encode import scratch
        >>> encoder = scratch(["def add(a, b)"], vocab_size=50, dim=8)
        >>> cache = VectorCache(tempfile.mkdtemp())
        >>> for _ in range(2):
        ...     vectors = encoder.encode(["add", "b"], cache=cache, progress=False)
        >>> cache
        VectorCache(2 hits, 2 misses, 2 encoded)

    Breaks when: it lies on a network file system without working file locks.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.hits = 0
        self.misses = 0
        self.encoded = 0
        self._shelves: dict[str, Shelf] = {}

    def _shelf(self, mark: str, dim: int) -> Shelf:
        return self._shelves.setdefault(mark, Shelf(self.folder / mark, dim=dim))

    def _labels(self) -> dict[str, dict[str, Any]]:
        """Label of every encoder in the folder, newest first."""
        found = {
            path.parent.name: files.read_json(path) for path in self.folder.glob(f"*/{_label}")
        }
        newest = sorted(found.items(), key=lambda pair: str(pair[1]["created"]), reverse=True)
        return dict(newest)

    def serve(
        self,
        texts: Sequence[str],
        *,
        label: dict[str, Any],
        dim: int,
        compute: Callable[[Sequence[str]], Iterator[Floats]],
    ) -> Floats:
        """Vectors of different texts, computing and keeping those that are not there.

        Args:
            texts: different texts.
            label: what decides the vectors, as `Encoder.components` gives it.
            dim: width of the vectors.
            compute: yields the vectors of new texts in order, some at a time; what it has yielded
                is kept even when it is killed later.

        Returns:
            (text, dim), a view of the memory map where the rows lie side by side.
        """
        mark = files.fingerprint(label)
        shelf = self._shelf(mark, dim)
        keys = [text_key(text) for text in texts]
        rows = shelf.find(keys)
        missing = np.flatnonzero(rows < 0).tolist()
        self.hits += len(texts) - len(missing)
        self.misses += len(missing)
        if not missing:
            return shelf.read(rows)
        path = shelf.folder / _label
        if not path.exists():
            created = datetime.now(UTC).isoformat(timespec="microseconds")
            files.write_json(path, {"label": label, "dim": dim, "created": created})
        done = 0
        for values in compute([texts[place] for place in missing]):
            shelf.append([keys[place] for place in missing[done : done + len(values)]], values)
            done += len(values)
            self.encoded += len(values)
        return shelf.read(shelf.find(keys))

    def explain(self, encoder: Encoder, texts: Sequence[str], *, side: str = "doc") -> pd.DataFrame:
        """Say for each text whether it is cached, and if not, what is different from before.

        Args:
            encoder: who would encode them.
            texts: which texts.
            side: "query" or "doc".

        Returns:
            One row per reason: `why`, how many `texts`, and the position of the `first` of them.

        Example:
            >>> import tempfile
            >>> from workbench.encode import scratch
            >>> cache = VectorCache(tempfile.mkdtemp())
            >>> encoder = scratch(["def add(a, b)"], vocab_size=50, dim=8)
            >>> cache.explain(encoder, ["add"])["why"].item()
            'never seen'
        """
        import pandas as pd

        listed = check_texts(texts)
        label = encoder.components(side)
        mark = files.fingerprint(label)
        keys = [text_key(text) for text in listed]
        own = self._shelf(mark, encoder.dim).find(keys)
        why = np.array(["never seen"] * len(listed), dtype=object)
        why[own >= 0] = "cached"
        why[own == -2] = "its vector is damaged on disk"
        labels = {other: entry for other, entry in self._labels().items() if other != mark}
        found = {
            other: self._shelf(other, entry["dim"]).find(keys) for other, entry in labels.items()
        }
        changes = {other: _difference(label, entry["label"]) for other, entry in labels.items()}
        # the nearest encoder explains best; among equally near ones the newest
        for other in sorted(changes, key=lambda name: len(changes[name])):
            here = (found[other] >= 0) & (why == "never seen")
            why[here] = f"cached by another encoder ({other}): {'; '.join(changes[other])}"
        reasons = list(dict.fromkeys(why.tolist()))
        rows = [
            (reason, int((why == reason).sum()), int((why == reason).argmax()))
            for reason in reasons
        ]
        return pd.DataFrame(rows, columns=["why", "texts", "first"])

    def frame(self) -> pd.DataFrame:
        """One row per encoder in the folder, newest first: how many texts, how large, when."""
        import pandas as pd

        rows = []
        for mark, entry in self._labels().items():
            shelf = self._shelf(mark, entry["dim"])
            shelf.find([])
            size = len(shelf) * entry["dim"] * 4 / 1e6
            rows.append((mark, len(shelf), entry["dim"], size, entry["created"]))
        return pd.DataFrame(rows, columns=["encoder", "texts", "dim", "megabytes", "created"])

    def __repr__(self) -> str:
        counts = f"{self.hits:,} hits, {self.misses:,} misses, {self.encoded:,} encoded"
        return f"VectorCache({counts})"
