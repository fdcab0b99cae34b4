"""The planted world says the truth about itself."""

import numpy as np
import pytest

from workbench.data import planted_world
from workbench.errors import BadArgument


def test_shapes_units_and_truth():
    world = planted_world(facts=5, paraphrases=3, dim=8)
    assert world.facts.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    for vectors in (world.queries, world.docs, world.guide_queries, world.guide_docs):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    same = world.facts[:, None] == world.facts[None, :]
    np.testing.assert_allclose((world.queries @ world.docs.T)[same], 1, rtol=1e-6)


def test_noise_is_what_the_guide_gets_wrong():
    clear = planted_world(noise=0)
    np.testing.assert_allclose(clear.guide_docs, clear.docs, rtol=1e-6)
    means = []
    for noise in (0.1, 0.3, 0.6, 2.0):
        world = planted_world(noise=noise)
        means.append(float((world.guide_docs * world.docs).sum(axis=1).mean()))
    assert means == sorted(means, reverse=True)
    # cos = 1 / sqrt(1 + noise^2) for a long error at right angles.
    np.testing.assert_allclose(
        means, 1 / np.sqrt(1 + np.array([0.1, 0.3, 0.6, 2.0]) ** 2), atol=0.01
    )


def test_margin_zero_finds_half_of_the_paraphrases_and_a_tenth_nearly_all():
    """methods/retrieval.md, section 1, noise 0.3: recall .517 at margin 0, .997 at 0.1."""
    world = planted_world(noise=0.3)
    guide = world.guide_queries @ world.guide_docs.T
    own = np.diag(guide)[:, None]
    false_negative = world.facts[:, None] == world.facts[None, :]
    true_negative = ~false_negative
    np.fill_diagonal(false_negative, False)
    recall = {margin: (guide > own - margin)[false_negative].mean() for margin in (0.0, 0.1)}
    assert 0.45 <= recall[0.0] <= 0.60
    assert recall[0.1] >= 0.95
    assert (guide > own - 0.1)[true_negative].mean() <= 0.001


def test_seeds_and_mistakes():
    assert np.array_equal(planted_world(seed=1).guide_docs, planted_world(seed=1).guide_docs)
    assert not np.array_equal(planted_world(seed=1).guide_docs, planted_world(seed=2).guide_docs)
    with pytest.raises(BadArgument, match="`facts` is 0"):
        planted_world(facts=0)
    with pytest.raises(BadArgument, match="`noise` is -1"):
        planted_world(noise=-1)
