"""The built-in collection: what is a function, whose is it, and is it kept well."""

import json
import sys
from importlib import metadata

import numpy as np
import pytest

from workbench.data import python_functions
from workbench.data.python_packages import chosen, closure, installed, python_files
from workbench.data.python_source import first_paragraph, functions_of
from workbench.errors import BadArgument, BadData

SOURCE = '''
"""Module."""
import os

class Store(Base):
    """A store."""

    @property
    def size_of(self) -> int:
        """
        Count the bytes
        kept so far.

        More words.
        """
        # a comment stays
        total = sum(map(len, self.parts))
        return total + self.size_of_rest

    def __len__(self):
        """Return the number of parts."""
        a = 1
        return a

    async def fetch(self, key):
        r"""Fetch one part by key."""
        value = await self.fetch(key)
        return value


if os.name:
    def again(x):
        """Do it é again please."""
        text = "é"
        return again(x) + text
else:
    def fallback(x):
        "Do the other thing instead."
        y = x
        return y

def empty(x):
    """Does nothing at all."""
    raise NotImplementedError("soon")

def abstract(x):
    """Does nothing at all either."""
    ...
    pass

def short(x):
    """Give it back unchanged."""
    return x

def test_it(x):
    """Test that all works."""
    y = x
    return y

def params(x):
    """:param x: the thing given"""
    y = x
    return y

def signature(x):
    """signature(x) gives x back."""
    y = x
    return y

def one_line(x): """Give it back in one line."""; return x

def undocumented(x):
    y = x
    return y

def russian(x):
    """Вернуть значение без изменений."""
    y = x
    return y

def outer(x):
    """Wrap the inner function."""
    def inner(y):
        """Be inside the outer one."""
        z = y
        return z
    return inner(x)
'''


def found(source, **options):
    return functions_of(source, **{"min_doc_words": 3, "max_code_chars": 1000, **options})


def test_which_functions_are_found_and_how_they_read():
    functions = {function.qualname: function for function in found(SOURCE.encode())}
    assert list(functions) == ["Store.size_of", "Store.fetch", "again", "fallback", "outer"]
    size = functions["Store.size_of"]
    assert size.summary == "Count the bytes kept so far."
    assert size.code == (
        "def size_of(self) -> int:\n    # a comment stays\n"
        "    total = sum(map(len, self.parts))\n    return total + self.size_of_rest"
    )
    assert size.body.startswith("def f(self)")
    assert "self.size_of_rest" in size.body  # a longer name is another word
    assert SOURCE.splitlines()[size.line - 1].strip().startswith("def size_of")
    assert functions["Store.fetch"].body == (
        "async def f(self, key):\n    value = await self.f(key)\n    return value"
    )
    assert functions["again"].body == 'def f(x):\n    text = "é"\n    return f(x) + text'


@pytest.mark.parametrize("word", ["docstring", "Count the bytes", "Fetch one part", "é again"])
def test_no_docstring_is_left_in_a_document(word):
    assert all(word not in function.code for function in found(SOURCE.encode()))


def test_lines_agree_under_other_line_ends_and_encodings():
    expected = [function.code for function in found(SOURCE.encode())]
    assert [f.code for f in found(SOURCE.replace("\n", "\r\n").encode())] == expected
    assert [f.code for f in found(b"\xef\xbb\xbf" + SOURCE.encode())] == expected
    latin = SOURCE.split("def russian")[0] + "\ndef outer" + SOURCE.split("def outer")[1]
    coded = ("# -*- coding: latin-1 -*-" + latin).encode("latin-1")
    assert [function.code for function in found(coded)] == expected


@pytest.mark.parametrize(
    "source",
    [
        b"def broken(:\n  '''x y z'''",
        b"\x00\x01",
        b"# Auto-generated, DO NOT EDIT\n" + SOURCE.encode(),
    ],
)
def test_files_that_do_not_parse_or_were_generated_give_nothing(source):
    assert found(source) == []


def test_a_summary_that_is_no_valid_text_is_left_out():
    source = b'def odd(x):\n    "Hold half a \\ud800 character."\n    y = x\n    return y\n'
    assert found(source) == []


def test_limits():
    assert [f.qualname for f in found(SOURCE.encode(), min_doc_words=5)] == [
        "Store.size_of", "Store.fetch", "again", "fallback",
    ]  # fmt: skip
    assert [f.qualname for f in found(SOURCE.encode(), max_code_chars=45)] == ["fallback"]


def test_paragraph_ends_where_a_section_begins():
    assert first_paragraph("Do it.\n    Args:\n        x: y") == "Do it."
    assert first_paragraph("") == ""


def test_packages_are_named_with_the_nearest():
    with pytest.raises(BadArgument, match="Did you mean 'papermill'"):
        chosen(["papermil"])
    with pytest.raises(BadArgument, match=r"Write packages=\['papermill'\]"):
        chosen("papermill")
    with pytest.raises(BadArgument, match="Name one"):
        chosen([])
    assert chosen(["Papermill", "stdlib", "papermill"]) == ("papermill", "stdlib")


def test_closure_follows_requirements_and_passes_over_what_is_missing():
    reached = closure(["nbval", "not-installed-at-all"])
    assert {"nbval", "nbformat", "stdlib"} <= set(reached) <= set(installed())
    assert "torch" not in reached


def test_files_of_the_standard_library_are_code_of_its_own():
    modules = {module for module, _ in python_files("stdlib")}
    assert "json/decoder.py" in modules
    assert not any("site-packages" in module or module.startswith("test/") for module in modules)


def test_editable_packages_are_read_from_their_folder(tmp_path, monkeypatch):
    (tmp_path / "code" / "mine").mkdir(parents=True)
    (tmp_path / "code" / "mine" / "store.py").write_text(SOURCE)
    (tmp_path / "code" / ".venv").mkdir()
    (tmp_path / "code" / ".venv" / "other.py").write_text(SOURCE)
    information = tmp_path / "site" / "mine-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    origin = {"url": (tmp_path / "code").as_uri(), "dir_info": {"editable": True}}
    (information / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    installed.cache_clear()
    try:
        kept = python_functions(["mine"], folder=tmp_path / "kept")
        assert kept.query_ids[0] == "mine:mine.store.Store.size_of#9"
        (tmp_path / "code" / "mine" / "store.py").write_text(SOURCE.replace("bytes", "octets"))
        changed = python_functions(["mine"], folder=tmp_path / "kept")
        assert "octets" in changed.query_texts[0]
        (tmp_path / "code" / "mine" / "store.py").write_text("x = 1")
        with pytest.raises(BadData, match="no documented function in mine"):
            python_functions(["mine"], folder=tmp_path / "kept")
    finally:
        installed.cache_clear()


# The module, to patch; its name is also that of the function.
module = sys.modules["workbench.data.python_functions"]
SMALL = ["papermill", "nbval"]


@pytest.mark.slow
def test_small_collection_is_sound_kept_and_repeatable(tmp_path, monkeypatch):
    first = python_functions(SMALL, folder=tmp_path / "a")
    assert set(first.queries["source"][:]) == set(SMALL)
    assert (
        first.query_ids.tolist()
        == first.doc_ids.tolist()
        == sorted(set(first.query_ids), key=list(first.query_ids).index)
    )
    assert len(first.pairs) == len(first.queries) > 50
    np.testing.assert_array_equal(first.pairs[:, 0], first.pairs[:, 1])
    assert all(text.strip() for text in [*first.query_texts, *first.doc_texts])
    assert first.recipe["versions"]["nbval"] == metadata.version("nbval")
    assert python_functions(SMALL, folder=tmp_path / "b").fingerprint == first.fingerprint

    monkeypatch.setattr(module, "_collect", None)  # a second call reads nothing
    assert python_functions(SMALL[::-1], folder=tmp_path / "a").fingerprint == first.fingerprint


@pytest.mark.slow
def test_documents_mix_code_and_body_by_a_seeded_coin(tmp_path):
    made = {
        kind: python_functions(SMALL, document=kind, folder=tmp_path)
        for kind in ("mixed", "code", "body")
    }
    code, body, mixed = (
        np.array(made[kind].doc_texts, dtype=object) for kind in ("code", "body", "mixed")
    )
    assert all((mixed == code) | (mixed == body))
    assert 0.35 < (mixed == body).mean() < 0.65
    other = python_functions(SMALL, seed=1, folder=tmp_path)
    assert other.doc_texts != made["mixed"].doc_texts
    assert other.query_texts == made["mixed"].query_texts
    assert sum("def f(" in text for text in body) == len(body)
    with pytest.raises(BadArgument, match=r"`document` is 'bdy'.* Did you mean 'body'"):
        python_functions(SMALL, document="bdy", folder=tmp_path)


@pytest.mark.slow
def test_interrupted_and_damaged_collections_are_built_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:

        def interrupted(*_):
            raise KeyboardInterrupt

        patched.setattr(module, "near_duplicates", interrupted)
        with pytest.raises(KeyboardInterrupt):
            python_functions(SMALL, folder=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    made = python_functions(SMALL, folder=tmp_path)
    (kept,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (kept / "recipe.json").write_text("{")
    assert python_functions(SMALL, folder=tmp_path).fingerprint == made.fingerprint


def test_copies_are_known_as_such_across_documents(tmp_path, monkeypatch):
    """A copied function shown once with and once without its name is still one group."""
    import sys

    module = sys.modules["workbench.data.python_functions"]
    body = "\n".join(f"    step_{i} = value + {i} * scale" for i in range(12))
    head = 'def spread(value, scale):\n    """Spread the value widely."""'
    text = f"{head}\n{body}\n    return step_11\n"
    for name in "abcdefgh":
        (tmp_path / f"{name}.py").write_text(text)
    listed = [(f"{name}.py", tmp_path / f"{name}.py") for name in "abcdefgh"]
    monkeypatch.setattr(module, "python_files", lambda _: listed)
    made = python_functions(["nbval"], folder=tmp_path / "kept")
    assert len(set(made.doc_texts)) == 2
    assert set(made.doc_groups.tolist()) == {0}
