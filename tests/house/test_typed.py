"""The checks that run while tests run find what they are for."""

import numpy as np
import pytest
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float
from typed import jaxtyped

from workbench import scores
from workbench.sweep.job import Job

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))


@jaxtyped(typechecker=checker)
def product(
    left: Float[np.ndarray, "a b"], right: Float[np.ndarray, "b c"], *, wrong: bool = False
) -> Float[np.ndarray, "a c"]:
    return (left @ right).T if wrong else left @ right


@jaxtyped(typechecker=checker)
def doubled(number: float, *, text: "str | Nowhere" = "x") -> str:  # type: ignore[name-defined] # noqa: F821
    return "x" * int(number) if number else number


def test_shapes_are_shared_by_arguments_and_result():
    left, right = np.ones((2, 3)), np.ones((3, 4))
    assert product(left, right).shape == (2, 4)
    with pytest.raises(BeartypeCallHintViolation):
        product(left, left)
    with pytest.raises(BeartypeCallHintViolation):
        product(left, right, wrong=True)
    with pytest.raises(BeartypeCallHintViolation):
        product(left.astype(int), right)
    assert product(right.T, right).shape == (4, 4), "nothing is remembered from call to call"


def test_plain_types_are_checked_and_what_cannot_be_resolved_is_anything():
    assert doubled(2) == "xx"
    assert doubled(1, text=[]) == "x"
    with pytest.raises(BeartypeCallHintViolation):
        doubled("2")
    with pytest.raises(BeartypeCallHintViolation):
        doubled(0)


def test_it_can_be_switched_off(untyped):
    assert doubled(0) == 0


def test_it_is_what_the_package_is_tested_with():
    with pytest.raises(BeartypeCallHintViolation):
        scores.cosine(np.ones((2, 3)), "x")
    with pytest.raises(Exception, match="Type-check error"):
        Job(notebook=3, folder="", values={})
