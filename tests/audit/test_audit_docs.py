"""The snippets of docs/audit.md run, one after the other, on a small list."""

import re
from pathlib import Path

import pytest

from workbench import mine, rules
from workbench.audit.store import JudgmentStore
from workbench.audit.toys import toy_audit, toy_verdicts
from workbench.errors import BadArgument

PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit.md"


@pytest.mark.slow
def test_the_page_of_audit_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    monkeypatch.chdir(tmp_path)
    found, train, guides, truth = toy_audit(facts=20)

    def ask(query_id, doc_id):
        return str(toy_verdicts([(query_id, doc_id)], found, truth).labels[0])

    names = {"found": found, "train": train, "vectors": guides["toy"], "ask": ask}
    for place, block in enumerate(blocks):
        exec(compile(block, PAGE.name, "exec"), names)
        if not place:  # a second judge, so that there is something to agree on
            second = JudgmentStore("data/judgments.sqlite", train, judge="bob")
            second.add(toy_verdicts(names["drawn"].pairs()[:30], found, truth))
            names["said"] = names["store"].verdicts()
    assert "false negatives" in capsys.readouterr().out
    assert names["labelled"].qrels.nnz > train.qrels.nnz
    assert names["cleaned"].weight.sum() < found.weight.sum()


@pytest.mark.slow
def test_what_compares_with_labels_asks_for_the_collection():
    found, _, guides, _ = toy_audit()
    for rule in (rules.Guide(), rules.PositiveNeighbour()):
        with pytest.raises(BadArgument, match=r"which was not given. Pass guide=.* collection"):
            mine.apply_rules(found, [rule], guide=guides["toy"])
