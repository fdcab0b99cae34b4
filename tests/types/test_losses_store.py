"""What training rows cost: kept per epoch, read by statistics, refused by name when wrong."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import BadArgument
from workbench.types import LossStore

WRITES = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 3),
        st.floats(-5, 5, width=32, allow_nan=False),
    ),
    max_size=30,
)


@pytest.mark.slow
@given(writes=WRITES, before=st.integers(0, 5))
def test_statistics_equal_loops_over_a_dictionary(writes, before):
    store, kept = LossStore.empty(5), {}
    for row, epoch, loss in writes:
        store.record([row], [loss], epoch=epoch)
        kept[row, epoch] = loss
        store.mean()  # fills the cache, which the next record must empty
        store.before(before).mean()
    for limit in (None, before):
        for row in range(5):
            mine = [
                kept[row, epoch]
                for epoch in range(4)
                if (row, epoch) in kept and (limit is None or epoch < limit)
            ]
            found = [part(before=limit)[row] for part in (store.mean, store.spread, store.last)]
            if not mine:
                assert np.isnan(found).all()
                continue
            wanted = [statistics.fmean(mine), statistics.pstdev(mine), mine[-1]]
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    assert store.epochs == max((epoch + 1 for _, epoch in kept), default=0)
    assert int(store.count().sum()) == len(kept)


def test_the_last_of_an_epoch_wins_also_within_one_call():
    store = LossStore.empty(2)
    store.record(np.array([1, 1]), np.array([3.0, 4.0]), epoch=0)
    assert store.history()[1, 0] == 4
    store.record(np.array([1]), np.array([5.0]), epoch=0)
    assert store.history().tolist()[1] == [5.0]
    assert np.isnan(store.history()[0, 0])


def test_room_grows_and_room_without_losses_is_no_epoch():
    store = LossStore.empty(2, 3)
    assert (store.values.shape, store.epochs) == ((2, 3), 0)
    store.record([0], [1.0], epoch=4)
    assert (store.values.shape, store.epochs, store.before(4).epochs) == ((2, 5), 5, 0)


def test_what_was_before_an_epoch_is_one_view_until_it_is_rewritten():
    store = LossStore.empty(2)
    store.record([0], [1.0], epoch=0)
    view = store.before(1)
    made = []
    for _ in range(2):
        store.before(1).once("seen", lambda: made.append(1))
    store.record([0, 1], [9.0, 9.0], epoch=1)
    assert store.before(1) is view
    assert view.mean()[0] == 1
    assert len(made) == 1
    store.record([0], [2.0], epoch=0)
    assert store.before(1) is not view
    assert store.before(1).mean()[0] == 2
    assert store.before(7).epochs == 2


def test_nothing_handed_out_can_change_the_store():
    store = LossStore.empty(2)
    store.record([0], [1.0], epoch=0)
    for handed in (store.history(), store.mean(), store.last(), store.spread(), store.count()):
        with pytest.raises(ValueError, match="read-only"):
            handed[0] = 7
    store.before(1).record([0], [5.0], epoch=0)
    assert store.mean()[0] == 1


def test_frame_has_one_row_per_training_row():
    store = LossStore.empty(3)
    store.record([0, 2], [1.0, 4.0], epoch=0)
    store.record([0], [3.0], epoch=1)
    frame = store.frame()
    assert frame.columns.tolist() == ["row", "mean", "std", "last", "count"]
    assert frame.loc[0].tolist() == [0, 2, 1, 3, 2]
    assert frame["count"].tolist() == [2, 0, 1]
    assert frame.loc[1, ["mean", "std", "last"]].isna().all()


def test_it_saves_whole_and_goes_on_after_loading(tmp_path):
    store = LossStore.empty(3)
    store.record([0, 2], [1.0, 4.0], epoch=0)
    store.save(tmp_path / "losses")
    again = LossStore.load(tmp_path / "losses")
    assert again.fingerprint == store.fingerprint
    again.record([1], [2.0], epoch=0)
    again.record([1], [2.0], epoch=1)
    assert again.fingerprint != store.fingerprint
    assert again.mean().tolist() == [1.0, 2.0, 4.0]
    assert LossStore.load(tmp_path / "losses").fingerprint == store.fingerprint
    again.save(tmp_path / "losses")
    assert LossStore.load(tmp_path / "losses").frame().equals(again.frame())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["losses"]


def test_a_run_that_goes_on_takes_over_what_was_kept():
    store, saved = LossStore.empty(2), LossStore.empty(2)
    saved.record([1], [2.0], epoch=1)
    store.record([0], [1.0], epoch=0)
    store.before(1).mean()
    store.become(saved)
    assert store.fingerprint == saved.fingerprint
    assert store.before(1).epochs == 0
    store.record([0], [1.0], epoch=0)
    assert math.isnan(saved.mean()[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.record([3], [1.0], epoch=0), r"`rows` is 3, but rows are 0\.\.2\. Make"),
        (lambda s: s.record([-1], [1.0], epoch=0), r"`rows` is -1, but rows are 0\.\.2"),
        (lambda s: s.record([0.5], [1.0], epoch=0), r"`rows` is .*a list of whole numbers"),
        (lambda s: s.record([[0]], [[1.0]], epoch=0), r"`rows` is .*a list of whole numbers"),
        (
            lambda s: s.record([0, 1], [1.0, np.nan], epoch=0),
            r"`losses` is nan, but losses must be finite, and that of row 1 is not",
        ),
        (lambda s: s.record([0], [np.inf], epoch=0), r"that of row 0 is not. Look at that row"),
        (
            lambda s: s.record([0, 1], [1.0], epoch=0),
            r"`losses` is \(1,\), but there must be one per row, \(2,\). Take losses before",
        ),
        (lambda s: s.record([0], [1.0], epoch=-1), r"`epoch` is -1, but it must be a whole number"),
        (lambda s: s.before(-1), r"`epoch` is -1, but"),
        (lambda s: s.become(LossStore.empty(2)), r"`other` is LossStore\(2 rows.*about 3 rows"),
        (lambda s: LossStore.empty(0), r"`rows` is 0, but it must be a whole number >= 1"),
        (lambda s: LossStore.empty(1, -1), r"`epochs` is -1, but .*>= 0"),
        (
            lambda s: LossStore(values=np.zeros(3, dtype=np.float32)),
            r"`values` is \(3,\), but it must be \(row, epoch\)\. Use LossStore\.empty",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name_and_nothing_is_kept(call, message):
    store = LossStore.empty(3)
    with pytest.raises(BadArgument, match=message):
        call(store)
    assert (store.epochs, len(store)) == (0, 3)


def test_it_says_what_it_holds():
    store = LossStore.empty(1200)
    store.record([0, 5], [1.0, 2.0], epoch=1)
    assert repr(store) == "LossStore(1,200 rows, 2 with a loss, 2 epochs)"
