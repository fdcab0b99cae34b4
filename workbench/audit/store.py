"""Every judgment anybody made, kept for good, with undo and redo that outlive the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import files
from workbench.audit.schema import (
    LONGEST_NAME,
    LONGEST_NOTE,
    Database,
    check_text,
    judgments,
    now,
    redoable,
    shown_of,
    shown_text,
    undoable,
)
from workbench.errors import BadArgument, BadData, check_choice
from workbench.types import LABELS, Collection, Ids, Verdicts, check_verdicts

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from sqlalchemy import Connection, Select

_near = 20_000  # ids among which a misspelt one is looked for


@dataclass(frozen=True, kw_only=True)
class Judgment:
    """One row of the store, as it was written.

    Args:
        id: its number; a later row has a larger one.
        at: when, in UTC.
        kind: judgment, undo or redo.
        target: for undo and redo the `id` of the judgment that they take back or restore.
        judge: who.
        collection: fingerprint of the collection that was on the screen.
        query_id: of the query.
        doc_id: of the candidate.
        label: positive (the candidate answers the query), negative, unsure or skip.
        note: free words.
        query_hash: of the query's text.
        doc_hash: of the candidate's text.
        shown: what the screen showed beside the texts, or None.

    Example:
        >>> Judgment(id=1, at="2026-01-01T00:00:00+00:00", kind="judgment", target=None, judge="me",
        ...          collection="ab", query_id="q", doc_id="d", label="skip", note="",
        ...          query_hash="1", doc_hash="2", shown=None).label
        'skip'
    """

    id: int
    at: str
    kind: str
    target: int | None
    judge: str
    collection: str
    query_id: str
    doc_id: str
    label: str
    note: str
    query_hash: str | None
    doc_hash: str | None
    shown: dict[str, Any] | None


class JudgmentStore:
    """What people and judges said of (query, candidate) pairs: rows are added, nothing else.

    The newest judgment of a judge on a pair counts. `undo` and `redo` work as an editor's, per
    judge and collection, and are rows themselves, so they survive a restart of the kernel. Texts
    are not stored, only their hashes: when ids change, a judgment follows its two texts (the
    recorded id if it still has the text, else the first text with that hash), and when a text
    changes its judgments no longer count.

    Several notebooks may write at once; none waits more than the moment another one writes. What
    a call has returned survives `kill -9` and a power cut (SQLite: WAL, synchronous=FULL).

    Args:
        where: a path, usually `data/judgments.sqlite`, or an address such as
            `postgresql://me:secret@host/team`.
        collection: what is judged.
        judge: who judges; the login name by default.

    Raises:
        BadArgument: neither path nor address, no file can be there, an address that does not
            parse, a name that is empty or too long, no collection.
        BadData: a damaged file, one of another program or of a newer workbench, a server that
            does not answer; a collection with the same id twice.

    Example:
        >>> import tempfile
        >>> from workbench.data import from_rows
        >>> pairs = from_rows([{"query": "add", "positive": "a + b", "query_id": "q",
        ...                     "positive_id": "d"}])
        >>> store = JudgmentStore(f"{tempfile.mkdtemp()}/judgments.sqlite", pairs, judge="me")
        >>> store.judge("q", "d", "positive").label, store.verdicts().newest()
        ('positive', {('q', 'd'): 'positive'})

    Breaks when: an SQLite file lies on a network drive without working locks (give a team
    PostgreSQL), or is copied while it is open without the `-wal` file beside it.
    """

    def __init__(
        self, where: str | Path, collection: Collection, *, judge: str | None = None
    ) -> None:
        self.judged_by = _login() if judge is None else judge
        check_text("judge", self.judged_by, most=LONGEST_NAME, blank=False)
        given: object = collection
        if not isinstance(given, Collection):
            kind = type(given).__name__
            wanted = "it must be the Collection that is judged"
            raise BadArgument("collection", kind, wanted, "Pass it after the path.")
        self.collection = collection
        self._queries = _Side("query_id", collection.queries, collection.query_ids)
        self._docs = _Side("doc_id", collection.corpus, collection.doc_ids)
        self._database = Database(where)

    def judge(
        self,
        query_id: str,
        doc_id: str,
        label: str,
        *,
        note: str = "",
        shown: Mapping[str, object] | None = None,
    ) -> Judgment:
        """Write one judgment; it is safe when this returns.

        Args:
            query_id: of a query of the collection.
            doc_id: of one of its documents.
            label: positive (the candidate answers the query), negative, unsure or skip.
            note: why, in at most 10,000 characters.
            shown: what the screen showed: scores, ranks, the rule; whatever JSON can hold.

        Returns:
            The row.

        Raises:
            BadArgument: an unknown id or label, a note too long, NaN or anything else in `shown`
                that JSON does not hold. Nothing is written then.
        """
        check_choice("label", label, LABELS)
        check_text("note", note, most=LONGEST_NOTE)
        row = {
            "query_hash": self._queries.hash_of(query_id),
            "doc_hash": self._docs.hash_of(doc_id),
            **{"query_id": str(query_id), "doc_id": str(doc_id), "label": str(label), "note": note},
            "shown": None if shown is None else shown_text(shown),
        }
        with self._database.transaction(write=True) as connection:
            return self._written(connection, {**row, "kind": "judgment", "target": None})

    def add(self, verdicts: Verdicts) -> int:
        """Write many judgments of their own judges in one transaction: all of them or none.

        Args:
            verdicts: of this collection's ids; the store's own judge plays no part.

        Returns:
            How many were written.

        Raises:
            BadArgument: no verdicts (opinions become some by `to_verdicts`).
            BadData: ids that are not in the collection, names no judge can have.
        """
        check_verdicts("verdicts", verdicts)
        problems = [
            f"{side.argument} {name!r} is not in the collection"
            for side, ids in ((self._queries, verdicts.query_ids), (self._docs, verdicts.doc_ids))
            for name in dict.fromkeys(ids.tolist())
            if name not in side.place
        ]
        for name in dict.fromkeys(verdicts.judges.tolist()):
            try:
                check_text("judges", name, most=LONGEST_NAME, blank=False)
            except BadArgument as error:
                problems.append(str(error))
        if problems:
            raise BadData("verdicts", problems, "Leave these rows out.")
        query_hashes = self._queries.hashes_of(verdicts.query_ids)
        doc_hashes = self._docs.hashes_of(verdicts.doc_ids)
        same = {"at": now(), "kind": "judgment", "collection": self.collection.fingerprint}
        columns = (verdicts.query_ids, verdicts.doc_ids, verdicts.labels, verdicts.judges)
        rows = [
            {
                **same,
                **{"query_id": query, "doc_id": doc, "label": label, "judge": judge, "note": ""},
                "query_hash": query_hashes[query],
                "doc_hash": doc_hashes[doc],
            }
            for query, doc, label, judge in zip(*(one.tolist() for one in columns), strict=True)
        ]
        if rows:
            with self._database.transaction(write=True) as connection:
                connection.execute(judgments().insert(), rows)
        return len(rows)

    def undo(self) -> Judgment | None:
        """Take back this judge's newest judgment of this collection that still stands.

        Returns:
            The new row, which names the pair and the label taken back; None if none stands.
        """
        return self._step("undo", undoable(self.judged_by, self.collection.fingerprint))

    def redo(self) -> Judgment | None:
        """Restore what the last `undo` took back; a judgment made since then leaves nothing.

        Returns:
            The new row, which names the pair and the label restored; None if there is none.
        """
        return self._step("redo", redoable(self.judged_by, self.collection.fingerprint))

    def verdicts(self, judge: str | None = None) -> Verdicts:
        """The newest standing judgment per judge and pair, oldest first, in this collection's ids.

        Args:
            judge: of this one only; None for all.

        Raises:
            BadArgument: nobody of that name has judged.
        """
        found = self._standing(judge).dropna(subset=["query_id", "doc_id"])
        columns = ("query_id", "doc_id", "label", "judge")
        query_ids, doc_ids, labels, judges = (found[name].to_numpy(object) for name in columns)
        return Verdicts(query_ids=query_ids, doc_ids=doc_ids, labels=labels, judges=judges)

    def progress(self) -> dict[str, int]:
        """How many pairs of this collection this judge has judged, by label.

        Returns:
            A count per label, and under `elsewhere` the judgments of texts that are not in this
            collection.
        """
        found = self._standing(self.judged_by)
        here = found[["query_id", "doc_id"]].notna().all(axis=1)
        counts = found.loc[here, "label"].value_counts()
        return {label: int(counts.get(label, 0)) for label in LABELS} | {
            "elsewhere": int((~here).sum())
        }

    def frame(self) -> pd.DataFrame:
        """The whole history, every row as it was written, whatever collection it was about."""
        import pandas as pd

        found = self._read(tuple(judgments().columns.keys()))
        found["at"] = pd.to_datetime(found["at"], format="ISO8601", utc=True)
        found["target"] = found["target"].astype("Int64")
        texts = found["shown"].to_numpy(object)
        found["shown"] = pd.Series([shown_of(text) for text in texts], dtype=object)
        return found

    def close(self) -> None:
        """Let go of the database; leaving the notebook does the same."""
        self._database.close()

    def __repr__(self) -> str:
        return f"JudgmentStore({self._database.name!r}, judge={self.judged_by!r})"

    def _written(self, connection: Connection, row: dict[str, Any]) -> Judgment:
        whole = {
            "at": now(),
            "judge": self.judged_by,
            "collection": self.collection.fingerprint,
            **row,
        }
        insert = judgments().insert().values(whole).returning(judgments().c.id)
        number = connection.execute(insert).scalar_one()
        return Judgment(**{**whole, "id": number, "shown": shown_of(whole["shown"])})

    def _step(self, kind: str, query: Select[Any]) -> Judgment | None:
        with self._database.transaction(write=True) as connection:
            found = connection.execute(query).mappings().one_or_none()
            if found is None:
                return None
            kept = ("query_id", "doc_id", "query_hash", "doc_hash", "label")
            row = {name: found[name] for name in kept}
            step = {"kind": kind, "target": found["id"], "note": "", "shown": None}
            return self._written(connection, {**row, **step})

    def _read(self, columns: tuple[str, ...]) -> pd.DataFrame:
        import pandas as pd
        from sqlalchemy import select

        rows = judgments()
        query = select(*(rows.c[name] for name in columns)).order_by(rows.c.id)
        with self._database.transaction(write=False) as connection:
            found = connection.execute(query).all()
        by_column = zip(*found, strict=True) if found else [()] * len(columns)
        return pd.DataFrame(dict(zip(columns, by_column, strict=True)), dtype=object)

    def _standing(self, judge: str | None) -> pd.DataFrame:
        """Newest per judge and pair, of everything not undone; ids are None for texts elsewhere."""
        names = ("id", "kind", "target", "judge", "collection", "label")
        found = self._read((*names, "query_id", "doc_id", "query_hash", "doc_hash"))
        if judge is not None and judge != self.judged_by:
            check_choice("judge", judge, sorted({self.judged_by, *found["judge"]}))
        last = found[found["kind"] != "judgment"].drop_duplicates("target", keep="last")
        undone = set(last.loc[last["kind"] == "undo", "target"])
        stands = (found["kind"] == "judgment") & ~found["id"].isin(undone)
        if judge is not None:
            stands &= found["judge"] == judge
        found = found[stands].copy()
        moved = (found["collection"] != self.collection.fingerprint).to_numpy(bool)
        if moved.any():
            for side in (self._queries, self._docs):
                ids = found[side.argument].to_numpy(object, copy=True)
                hashes = found[side.argument.replace("_id", "_hash")].to_numpy(object)
                ids[moved] = side.here(ids[moved], hashes[moved])
                found[side.argument] = ids
        here = found[["query_id", "doc_id"]].notna().all(axis=1)
        newest = ~found.duplicated(["judge", "query_id", "doc_id"], keep="last")
        return found[newest | ~here]


class _Side:
    """The queries or the documents of a collection, found by id and by content."""

    def __init__(self, argument: str, table: Dataset, ids: Ids) -> None:
        self.argument, self._table, self._ids = argument, table, ids
        self.place = {name: place for place, name in enumerate(ids.tolist())}
        if len(self.place) < len(ids):
            problem = f"{argument} stands more than once in {len(ids) - len(self.place):,} rows"
            raise BadData("collection", [problem], "Give each text its own id.")

    def hash_of(self, name: str) -> str:
        """The hash of one text."""
        if not isinstance(name, str) or name not in self.place:
            near = get_close_matches(str(name), self._ids[:_near].tolist(), n=1, cutoff=0.4)
            mend = f"Did you mean {near[0]!r}?" if near else "Look it up in the collection."
            raise BadArgument(self.argument, name, "the collection has no such id", mend)
        return files.fingerprint(self._table[self.place[name]]["text"])

    def hashes_of(self, ids: Ids) -> dict[str, str]:
        """Id -> hash of the texts of some known ids."""
        names = list(dict.fromkeys(ids.tolist()))
        texts = self._table.select([self.place[name] for name in names])["text"][:]
        return {name: files.fingerprint(text) for name, text in zip(names, texts, strict=True)}

    @cached_property
    def _hashes(self) -> dict[str, str]:
        """Id -> hash of every text."""
        from tqdm.auto import tqdm

        texts = tqdm(self._table["text"][:], "hashing texts", disable=None, delay=2, leave=False)
        return dict(zip(self._ids.tolist(), map(files.fingerprint, texts), strict=True))

    @cached_property
    def _first(self) -> dict[str, str]:
        """Hash -> id of the first text that has it."""
        first: dict[str, str] = {}
        for name, text_hash in self._hashes.items():
            first.setdefault(text_hash, name)
        return first

    def here(self, ids: Ids, hashes: Ids) -> Ids:
        """Ids of this collection for ids and hashes of another; None where the text is not here."""
        pairs = zip(ids.tolist(), hashes.tolist(), strict=True)
        found = [
            name if text_hash is not None and self._hashes.get(name) == text_hash
            else self._first.get(text_hash)
            for name, text_hash in pairs
        ]  # fmt: skip
        return np.array(found, dtype=object)


def _login() -> str:
    try:
        return getuser()
    except (OSError, KeyError, ImportError) as error:
        wanted = "this machine knows no login name"
        raise BadArgument("judge", None, wanted, "Say who judges: judge='ann'.") from error
