"""Colours of a map: every point has one, every colour a name, and unknown is said."""

import re

import numpy as np
import pytest

from workbench.errors import BadArgument, BadData
from workbench.types import LossStore, Vectors
from workbench.widgets.layout import layout
from workbench.widgets.map_colour import (
    CHOICES,
    Colouring,
    clustered,
    colouring,
    measured,
    named,
    possible,
)
from workbench.widgets.map_points import points_of
from workbench.widgets.map_static import extent, painted
from workbench.widgets.theme import COLOURS, GREY


@pytest.fixture
def points(collection_of, rng):
    made = collection_of({(0, 0): 1.0, (1, 2): 1.0, (1, 0): 1.0}, queries=2, docs=4)

    def side(count, prefix):
        ids = np.array([f"{prefix}{one}" for one in range(count)], dtype=object)
        values = rng.normal(size=(count, 4)).astype(np.float32)
        return Vectors(values=values, ids=ids, encoder="drawn")

    def of(**known):
        vectors = (side(2, "q"), side(4, "d"))
        return points_of(vectors, layout(vectors, how="pca"), collection=made, **known)

    return of


def names_of(made):
    return [made.names[code] for code in made.codes]


def test_the_rarest_words_share_grey():
    values = [f"s{one}" for one in range(9) for _ in range(9 - one)]
    made = named("source", values)
    assert len(made.names) == len(set(made.colours)) == 8
    assert made.names[-1] == "others"
    assert made.colours[-1] == GREY
    assert names_of(made) == [one if one < "s7" else "others" for one in values]
    assert [one["count"] for one in made.legend()] == [9, 8, 7, 6, 5, 4, 3, 3]


def test_numbers_fall_between_their_edges(rng):
    values = rng.normal(size=500)
    values[:20] = np.nan
    made = measured("loss", values)
    assert names_of(made)[:20] == ["unknown"] * 20
    counts = np.bincount(made.codes[20:])
    assert counts.max() - counts.min() <= 1
    order = made.codes[20:][np.argsort(values[20:])]
    assert (np.diff(order) >= 0).all()
    fixed = measured("p", np.array([0.0, 0.2, 0.5, 1.0]), edges=[0.2, 0.5])
    assert names_of(fixed) == ["below 0.2", "0.2 to 0.5", "0.5 and above", "0.5 and above"]


def test_equal_and_unknown_numbers_have_a_name():
    assert set(names_of(measured("loss", np.ones(5)))) == {"all alike"}
    assert set(names_of(measured("loss", np.full(3, np.nan)))) == {"unknown"}


def test_clusters_repeat_colours_but_not_names():
    made = clustered(np.arange(10), [f"c{one}" for one in range(10)])
    assert made.colours[7] == made.colours[0]
    assert GREY not in made.colours
    assert len(set(made.names)) == 10


def test_losses_of_pairs_become_those_of_points(points):
    store = LossStore.empty(3)
    store.record([0, 1, 2], [1.0, 2.0, 6.0], epoch=0)  # pairs (q0, d0), (q1, d0), (q1, d2)
    made = colouring(points(losses=store), "loss")
    expected = measured("loss", np.array([1, 4, 1.5, np.nan, 6, np.nan]))
    assert made.codes.tolist() == expected.codes.tolist()
    assert names_of(made)[3] == "unknown"


def test_splits_name_where_a_text_belongs(points, collection_of):
    train = collection_of({(0, 0): 1.0}, queries=1, docs=2)
    made = colouring(points(splits={"train": train}), "split")
    assert names_of(made) == ["train", "unknown", "train", "train", "unknown", "unknown"]


def test_values_may_be_given_by_point_or_by_id(points):
    own = points()
    assert names_of(colouring(own, np.array(["a", "b", "a", "a", "b", "a"])))[1] == "b"
    numbers = colouring(own, [0, 1, 2, 3, 4, 5])
    assert numbers.codes.tolist() == [0, 1, 2, 3, 4, 5]
    by_id = colouring(own, {"q1": "seen", "d3": "seen"})
    assert names_of(by_id) == ["unknown", "seen", *["unknown"] * 3, "seen"]
    with pytest.raises(BadData, match="it names none of the points"):
        colouring(own, {"nobody": 1})
    with pytest.raises(BadArgument, match="one value per point, queries first: 6"):
        colouring(own, [1, 2])


def test_movement_is_that_of_the_layout(points):
    own = points()
    again = points_of(own.sides, own.layout, before=own.layout)
    assert (
        set(names_of(colouring(again, "moved"))) <= {"all alike", "below 0"}
        or len(set(colouring(again, "moved").codes.tolist())) >= 1
    )
    assert possible(again) == ["kind", "cluster", "moved"]


@pytest.mark.parametrize("by", ["split", "suspicion", "loss", "moved"])
def test_what_is_missing_is_asked_for(points, by):
    with pytest.raises(BadArgument, match=f"`colour` is '{by}', but the map was not given"):
        colouring(points(), by)
    assert by in CHOICES


def test_colours_without_names_are_refused():
    codes = np.array([0, 2], dtype=np.int16)
    with pytest.raises(BadArgument, match=re.escape("codes must be 0..1")):
        Colouring(name="x", codes=codes, names=("a", "b"), colours=COLOURS[:2])
    with pytest.raises(BadArgument, match="each needs one colour"):
        Colouring(name="x", codes=codes, names=("a",), colours=COLOURS[:2])


@pytest.mark.slow
def test_every_point_is_painted_and_context_is_grey(rng):
    xy = rng.uniform(size=(40, 2)).astype(np.float32)
    made = named("source", ["a"] * 20 + ["b"] * 20)
    image = painted(xy, 5, made)
    left, right, bottom, top = extent(xy)
    high, wide = image.shape[:2]
    x = ((xy[:, 0] - left) / (right - left) * (wide - 1)).round().astype(int)
    y = ((top - xy[:, 1]) / (top - bottom) * (high - 1)).round().astype(int)
    shown = {
        "#{:02X}{:02X}{:02X}".format(*image[row, column]) for row, column in zip(y, x, strict=True)
    }
    assert shown <= set(made.colours)
    assert "#FFFFFF" not in shown
    some = painted(xy, 5, made, np.array([], dtype=np.int64))
    colours = {tuple(one) for one in some.reshape(-1, 3).tolist()}
    assert colours == {(255, 255, 255), (0x88, 0x88, 0x88)}
