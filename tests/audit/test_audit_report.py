"""The report: order, what is muted, what fails, and HTML that nothing in the data can break."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import ClassVar

import numpy as np
import pytest

from workbench import audit, registry
from workbench.audit import checks
from workbench.audit.checks import Finding, NotAsked
from workbench.audit.report import Report, report
from workbench.data import from_rows
from workbench.errors import BadArgument
from workbench.mine import dense
from workbench.types import Vectors

NASTY = "<script>alert('x')</script> & \"quoted\" </td><img src=x onerror=y>"


def finding(code, severity="warning", state="found", share=0.5, **more):
    return Finding(
        code=code, title="a thing", severity=severity, state=state, count=1, share=share,
        says=more.pop("says", "1 of 2"), mend="Mend it.", docs=f"docs/checks.md#{code.lower()}",
        **more,
    )  # fmt: skip


@pytest.fixture
def collection():
    rows = [{"query": f"query number {place}", "positive": f"the answer {place} to it",
             "query_id": f"q{place}", "positive_id": f"d{place}"}
            for place in range(40)]  # fmt: skip
    rows[3]["query"] = "?"
    return from_rows(rows, name="small")


@pytest.fixture
def vectors(collection):
    draw = np.random.default_rng(0)
    sides = (draw.standard_normal((40, 16), dtype=np.float32) for _ in range(2))
    return tuple(
        Vectors(values=values, ids=ids, encoder="e")
        for values, ids in zip(sides, (collection.query_ids, collection.doc_ids), strict=True)
    )


def test_every_check_is_in_the_table(collection):
    found = report(collection)
    assert {one.code for one in found.findings} == set(registry.names("check"))
    assert found["WB114"].found
    assert found["WB101"].state == "not asked"
    assert found["WB101"].says == "needs candidates"
    assert np.isnan(found["WB101"].share)
    assert report is audit.report
    table = found.frame()
    assert table.columns.tolist()[:6] == ["code", "title", "severity", "state", "count", "share"]
    assert len(table) == len(found.findings)


def test_order_and_ok():
    states = [
        finding("E1", "error", "clean", 0.0),
        finding("E2", "error", "not asked", float("nan")),
        finding("E3", "note"),
        finding("E4", "warning", share=0.1),
        finding("E5", "warning", share=0.2),
        finding("E6", "note", "failed", float("nan")),
        finding("E7", "error", share=0.01),
    ]
    from workbench.audit.report import _rank

    order = [one.code for one in sorted(states, key=_rank)]
    assert order == ["E7", "E6", "E5", "E4", "E3", "E2", "E1"]
    assert not Report(name="r", findings=(states[6],)).ok
    assert not Report(name="r", findings=(states[5],)).ok
    assert Report(name="r", findings=tuple(states[:5])).ok
    assert [one.code for one in Report(name="r", findings=tuple(states)).found] == [
        "E3", "E4", "E5", "E7"
    ]  # fmt: skip


def test_mute_and_only(collection):
    found = report(collection, mute=("WB114", "WB102"))
    assert found.muted == ("WB114", "WB102")
    assert "WB114" not in {one.code for one in found.findings}
    assert "muted: WB114, WB102" in str(found)
    few = report(collection, only=["WB114", "WB115"], mute=["WB115"])
    assert [one.code for one in few.findings] == ["WB114"]
    assert "left out: WB101" in str(few)
    assert "muted: WB115" in few._repr_html_()


@pytest.mark.parametrize("argument", ["mute", "only"])
def test_unknown_codes_are_refused_with_the_nearest(argument, collection):
    with pytest.raises(BadArgument, match=rf"`{argument}` is 'WB1144'.*mean 'WB114'\?"):
        report(collection, **{argument: ["WB1144"]})
    with pytest.raises(BadArgument, match="it must be a list of codes"):
        report(collection, **{argument: "WB101"})
    with pytest.raises(BadArgument, match="`code` is 'WB999'"):
        report(collection, only=["WB114"])["WB999"]


def test_a_check_with_other_options_takes_the_place(collection):
    found = report(collection, checks=[checks.EmptyTexts(letters=0, most=0.5)], only=["WB114"])
    assert found["WB114"].state == "clean"
    with pytest.raises(BadArgument, match="`checks` is 'WB999'"):
        report(collection, checks=[Unknown()])


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Raises."""

    code: ClassVar[str] = "WB114"
    title: ClassVar[str] = "broken"
    severity: ClassVar[str] = "note"
    mend: ClassVar[str] = "Mend it."
    error: type[BaseException] = ValueError

    def __call__(self, given):
        raise self.error("no luck")


class Unknown(Broken):
    """Of no known code."""

    code: ClassVar[str] = "WB999"


def test_a_check_that_raises_is_reported_and_the_others_run(collection):
    found = report(collection, checks=[Broken()])
    assert (found["WB114"].state, found["WB114"].says) == ("failed", "ValueError: no luck")
    assert len(found.findings) == len(registry.names("check"))
    assert not found.ok
    assert "failed" in str(found)
    assert report(collection, checks=[Broken(error=NotAsked)])["WB114"].state == "not asked"
    with pytest.raises(KeyboardInterrupt):
        report(collection, checks=[Broken(error=KeyboardInterrupt)])


def test_stale_input_fails_loudly(collection, vectors):
    other = replace(vectors[1], ids=vectors[1].ids[::-1].copy())
    found = report(collection, vectors=(vectors[0], other))
    assert found.findings[0].code == "WB112"
    assert found["WB105"].state == "failed"
    assert "vectors doc vectors" in found["WB105"].says


# The tests' own type checker would speak first, so all this is asked in a process without it.
WRONG = """
import json
import numpy as np
from workbench import audit
from workbench.audit import checks
from workbench.data import from_rows
from workbench.types import LossStore, Vectors

demo = from_rows([{"query": "add two", "positive": "a + b"}], name="demo")
side = Vectors(values=np.eye(1, 4, dtype=np.float32), ids=demo.query_ids, encoder="e")
cases = {
    "collection": lambda: audit.report(None),
    "pair": lambda: audit.report(demo, vectors=(side,)),
    "guide": lambda: audit.report(demo, guide=side),
    "encoder": lambda: audit.report(demo, encoder="all-MiniLM-L6-v2"),
    "candidates": lambda: audit.report(demo, candidates=demo),
    "evaluation": lambda: audit.report(demo, evaluation=[demo]),
    "suspicion": lambda: audit.report(demo, suspicion=np.zeros((1, 1))),
    "losses": lambda: audit.report(demo, losses=[0.5]),
    "verdicts": lambda: audit.report(demo, verdicts=[("q", "d", "positive")]),
    "class": lambda: audit.report(demo, checks=[checks.EmptyTexts]),
    "set": lambda: audit.report(demo, checks={checks.EmptyTexts()}),
    "muted": lambda: audit.report(demo, mute=None),
}
said = {}
for name, case in cases.items():
    try:
        said[name] = repr(case())
    except ValueError as error:
        said[name] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""
SAID = {
    "collection": "`collection` is None, but it must be of kind Collection",
    "pair": "`vectors` is 'tuple of Vectors', but it must be a pair of Vectors",
    "guide": "`guide` is 'Vectors', but it must be a pair of Vectors",
    "encoder": "`encoder` is 'all-MiniLM-L6-v2', but it must be an Encoder",
    "candidates": "but it must be of kind Candidates",
    "evaluation": "but it must be of kind Collection",
    "suspicion": "but it must be of kind Suspicion",
    "losses": "but it must be of kind LossStore",
    "verdicts": "but it must be of kind Verdicts. Call store.verdicts().",
    "class": "each entry must be a check object. Write checks=[FalseNegatives()].",
    "set": "it must be a list of checks",
    "muted": "`mute` is None, but it must be a list of codes",
}


@pytest.mark.slow
def test_wrong_kinds_are_refused_before_any_check():
    done = subprocess.run(
        [sys.executable, "-c", WRONG], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said.keys() == SAID.keys()
    for name, wanted in SAID.items():
        assert said[name].startswith("BadArgument: "), name
        assert wanted in said[name], name


def test_text_has_every_finding_and_what_to_do(collection, vectors):
    found = report(collection, vectors=vectors, candidates=dense(collection, *vectors, k=5))
    text = str(found)
    assert text == repr(found)
    assert text.startswith("Audit of small: ")
    assert max(map(len, text.splitlines())) <= 100
    parts = re.split(r"^(?=WB)", text, flags=re.MULTILINE)[1:]
    for one, part in zip(found.findings, parts, strict=True):
        said = " ".join(part.split())
        assert said.startswith(f"{one.code} {one.severity if one.found else one.state} {one.title}")
        assert " ".join(one.says.split()) in said
        assert (f"-> {one.mend} ({one.docs})" in said) == one.found
    counted = re.search(r"(\d+) errors?, (\d+) warnings?, (\d+) notes?", found.summary)
    assert sum(map(int, counted.groups())) == len(found.found)


class Reader(HTMLParser):
    """Tags with attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self.open = [], {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value)
        if tag not in ("br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def nasty():
    rows = [{"query": NASTY, "positive": NASTY, "query_id": NASTY, "positive_id": "d" + NASTY,
             "source": NASTY}]  # fmt: skip
    return from_rows(rows, name=NASTY)


def test_html_shows_texts_of_the_data_literally(nasty, tmp_path):
    found = report(nasty, checks=[Broken()])
    found = replace(found, findings=(*found.findings, finding("WB900", says=NASTY)))
    path = found.save_html(tmp_path / "deep" / "audit.html")
    for text in (path.read_text(encoding="utf-8"), found._repr_html_()):
        read = Reader(text)
        assert not read.open  # every element is closed
        assert not {"script", "img", "link", "iframe", "object"} & set(read.tags)
        assert not {name for name in read.attributes if name.startswith("on")}
        assert not {"src", "href"} & set(read.attributes)
        said = "".join(read.words)
        assert said.count(NASTY) >= 4  # name, ids, texts, says
    assert "no luck" in said


def test_html_is_self_contained_and_readable_without_colour(collection, vectors, tmp_path):
    found = report(collection, vectors=vectors, candidates=dense(collection, *vectors, k=5))
    path = found.save_html(str(tmp_path / "audit.html"))
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "default-src 'none'" in text
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"https?://|url\(|@import", text)
    said = " ".join(Reader(text).words)
    for one in found.findings:
        assert one.code in said
        assert (one.severity if one.found else one.state) in said
        assert one.docs in said
        for example in one.examples:
            assert all(name in said for name in example.ids)
    from workbench.audit.report_page import SIGNS

    assert len(set(SIGNS.values())) == len(SIGNS)  # a shape of its own for each


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_stand_out_from_the_ground():
    """WCAG AA: a contrast of 4.5 for text, on light ground and on dark."""
    from workbench.audit.report_page import DARK, GROUND, LIGHT

    assert LIGHT.keys() == DARK.keys()
    for colours, ground in zip((LIGHT, DARK), GROUND, strict=True):
        for name, colour in colours.items():
            low, high = sorted([luminance(colour), luminance(ground)])
            assert name == "line" or (high + 0.05) / (low + 0.05) >= 4.5, (name, ground)


def test_save_html_replaces_a_file_and_refuses_a_folder(collection, tmp_path):
    found = report(collection, only=["WB114"])
    path = tmp_path / "audit.html"
    path.write_text("old")
    assert found.save_html(path) == path
    assert "WB114" in path.read_text(encoding="utf-8")
    assert [one.name for one in tmp_path.iterdir()] == ["audit.html"]
    with pytest.raises(BadArgument, match=r"`path`.*it is a folder"):
        found.save_html(tmp_path)


def test_half_a_character_does_not_keep_a_report_from_being_saved(tmp_path):
    broken = Report(name="a \ud800", findings=(finding("WB900", says="b \udfff"),))
    assert "WB900" in broken.save_html(tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_finding_knows_its_words():
    with pytest.raises(BadArgument, match=r"`severity`.*Did you mean 'error'"):
        finding("WB900", "eror")
    with pytest.raises(BadArgument, match="`state`"):
        finding("WB900", state="lost")


def test_progress_can_be_switched_off(collection, capsys):
    report(collection, progress=False, only=["WB114"])
    assert capsys.readouterr().err == ""


def test_an_empty_collection_breaks_nothing(collection_of):
    made = collection_of({}, queries=1, docs=1, query_texts=["one two"], doc_texts=["three four"])
    vectors = tuple(
        Vectors(values=np.ones((1, 4), dtype=np.float32), ids=ids, encoder="e")
        for ids in (made.query_ids, made.doc_ids)
    )
    found = report(made, vectors=vectors, candidates=dense(made, *vectors, k=1), evaluation=made)
    assert not [one for one in found.findings if one.state == "failed"], str(found)
    assert found["WB111"].found
